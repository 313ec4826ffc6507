"""One line that stands for a step: what it computes, and its own comment."""

from __future__ import annotations

from rstar_cli.output import one_line


def headline(text: str, limit: int) -> str:
    """The last line that is neither comment, import nor print; then the first comment."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    comments = [line for line in lines if line.startswith("#")]
    code = [line for line in lines if not line.startswith("#")]
    telling = [line for line in code if not line.startswith(("import ", "from ", "print("))]
    chosen = (telling or code)[-1:] + comments[:1]
    return one_line("  ".join(chosen) or "(empty)", limit)
