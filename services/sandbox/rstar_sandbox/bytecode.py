"""Compile the guest's modules ahead, their docstrings empty.

Docstrings are a tenth of what an interpreter with sympy keeps in memory, and a fork pays for all
memory it touches. Empty and not gone: some modules work on those of others when they are imported.
Asserts stay: leaving them out would change what code does.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
import subprocess
import sys
from pathlib import Path

UNCHECKED_HASH = (1).to_bytes(4, "little")
"""Flags of a .pyc that is used without a look at its source."""

DOCUMENTED_PACKAGES = frozenset({"numpy"})
"""Keep their docstrings: `numpy.ma` refuses to load unless it finds certain words in them."""

FILES_WORTH_A_PROCESS = 200

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def compile_tree(directory: Path, inside: str) -> None:
    """Write the bytecode of every module below `directory`, which will be seen at `inside`."""
    files = sorted(directory.rglob("*.py"))
    count = min(os.cpu_count() or 1, len(files) // FILES_WORTH_A_PROCESS)
    command = [sys.executable, "-m", __name__, str(directory), inside]
    workers = [subprocess.Popen([*command, str(number), str(count)]) for number in range(1, count)]
    try:
        compile_share(directory, inside, 0, max(count, 1))
    finally:
        failed = [worker.wait() for worker in workers if worker.wait()]
    if failed:
        raise RuntimeError(f"compiling the guest's modules ended with {failed}")


def compile_share(directory: Path, inside: str, number: int, count: int) -> None:
    """One process's part of the work."""
    for file in sorted(directory.rglob("*.py"))[number::count]:
        _compile(file, directory=directory, inside=inside)


def _compile(file: Path, *, directory: Path, inside: str) -> None:
    source = file.read_bytes()
    name = f"{inside}/{file.relative_to(directory)}"
    try:
        tree = ast.parse(source, name)
        if file.relative_to(directory).parts[0] not in DOCUMENTED_PACKAGES:
            _empty_docstrings(tree)
        code = compile(tree, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return  # templates and the like, never imported
    header = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source)
    target = Path(importlib.util.cache_from_source(file))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(header + marshal.dumps(code))


def _empty_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            empty = ast.Expr(ast.copy_location(ast.Constant(""), node.body[0]))
            node.body[0] = ast.copy_location(empty, node.body[0])


if __name__ == "__main__":
    compile_share(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
