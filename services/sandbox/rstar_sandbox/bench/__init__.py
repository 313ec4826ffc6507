"""How fast the sandbox is beside what it replaces: `python -m rstar_sandbox.bench`.

Three variants do the same work in turns, on the same Python with the same packages: the sandbox
(`gvisor`), the same fork server without gVisor and without any isolation (`bare`, which exists in
this package alone), and a plain `python -c` process a run (`process`).
"""
