"""The service for a long time, over its own wire: `python -m rstar_sandbox.soak`.

A server process is started and called over gRPC only, as anybody would; what it and its sandboxes
hold on the host is counted from outside. First `--snippets` steps of every temper go through, each
with a known end, then `--clients` callers at once for `--minutes`. Outside of the test suite: it
takes a quarter of an hour.
"""
