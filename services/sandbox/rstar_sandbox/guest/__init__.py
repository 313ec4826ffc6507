"""All the code of ours that enters the sandbox: standard library and sympy only.

A *zygote* (`zygote`) with everything imported forks *interpreters* (`interpreter`), which run
steps. It drives them through `process`, keeps those worth forking in `parking`, and answers the
host over two pipes (`frames`). Once a step has run in an interpreter, that process is hostile:
the zygote believes nothing it says that the kernel can be asked instead.
"""
