"""A table of a report: rows of text under a head, as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> list[str]:
        """Its lines, without the title."""
        lines = [
            f"| {' | '.join(self.head)} |",
            f"|{'---|' * len(self.head)}",
            *(f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |" for row in self.rows),
        ]
        return [*lines, "", self.note] if self.note else lines

    def html(self) -> str:
        """Its elements, the title among them."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows
        )
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        return f"<h2>{escape(self.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"
