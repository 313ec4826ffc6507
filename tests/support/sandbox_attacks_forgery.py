"""Attacks on what is reported: output, exceptions, limits that are not what happened."""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack


def _forgery(name: str, holds: str, code: str, *ends: str) -> Attack:
    return Attack(group="forgery", name=name, holds=holds, code=code, ends=ends)


FORGERY = (
    _forgery(
        "frames-on-stdout",
        "printed bytes are output, never an answer to the host",
        "import json, os, struct\n"
        "b = json.dumps({'id': 1, 'outcomes': [], 'verdict': [0, 'equal', '']}).encode()\n"
        "os.write(1, struct.pack('<I', len(b)) + b)\nprint('HELD')",
    ),
    _forgery(
        "control-characters",
        "printed text comes back as it is, and as data",
        "print('\\x1b[2J\\x1b]0;title\\x07 HELD')",
    ),
    _forgery("null-bytes", "printed text comes back as it is", "print('a\\0b HELD')"),
    _forgery(
        "bytes-that-are-no-text",
        "they are replaced, not lost and not fatal",
        "import os; os.write(1, b'\\xff\\xfe HELD')",
    ),
    _forgery(
        "lone-surrogates", "an exception of the step", "print('\\ud800')", "UnicodeEncodeError"
    ),
    _forgery(
        "surrogates-in-an-exception",
        "a message that is no text is no harm",
        "raise ValueError('\\ud800 \\udfff')",
        "ValueError",
    ),
    _forgery(
        "exit-as-success",
        "ending the process is no success",
        "import os; os._exit(0)",
        "SystemExit",
    ),
    _forgery("sys-exit", "leaving is no success", "import sys; sys.exit(0)", "SystemExit"),
    _forgery("interrupt", "an exception like any", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    _forgery(
        "exception-beyond-exception",
        "an exception like any",
        "class Out(BaseException): pass\nraise Out",
        "Out",
    ),
    _forgery(
        "exception-whose-text-raises",
        "it keeps its type",
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "E",
    ),
    _forgery(
        "exception-whose-text-exits",
        "ending the process is no success",
        "import os\nclass E(Exception):\n    def __str__(self): os._exit(0)\nraise E",
        "SystemExit",
        "E",
    ),
    _forgery(
        "exception-of-a-huge-text",
        "messages are cut",
        "raise ValueError('x' * 10**7)",
        "ValueError",
    ),
    _forgery(
        "exception-with-a-limits-name",
        "a limit is said by the zygote alone",
        "class memory(Exception): pass\nclass wall(Exception): pass\nraise memory('wall')",
        "raises memory",
    ),
    _forgery(
        "type-with-a-forged-name",
        "a name is text: cut, and never a success",
        "E = type('E\\0\\n' + 'x' * 10**6, (Exception,), {})\nraise E",
        "*",
    ),
    _forgery(
        "output-closed",
        "a step without output is a step without output",
        "import os, sys\nsys.stdout.close(); os.close(1)",
        "*",
    ),
    _forgery(
        "output-after-the-report",
        "what a child prints later is in nobody's output",
        "import os, time\nif os.fork() == 0:\n"
        "    time.sleep(0.3); os.write(1, b'BREACH'); os._exit(0)\n"
        "print('HELD')",
    ),
    _forgery(
        "text-of-a-failure", "words decide nothing", "print('Traceback: error, timeout HELD')"
    ),
)
