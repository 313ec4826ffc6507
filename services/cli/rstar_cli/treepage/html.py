"""Markup that cannot be forgotten to be escaped.

`tag` escapes every child and attribute that is not itself markup made here, and takes out
control characters and those that reorder text, so hostile text can neither become markup
nor disguise itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rstar_cli.output import plain

_VOID = frozenset({"meta", "input"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | None | Iterable["str | int | None"]


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """One element. `class_` is `class`; other underscores become dashes; None is left out."""
    written = [
        f" {_attribute(key)}" + ("" if value is True else f'="{_text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    opening = f"<{name}{''.join(written)}>"
    if name in _VOID:
        return Html(opening)
    return Html(f"{opening}{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children one after another, escaped where they are not markup."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int):
            parts.append(child if isinstance(child, Html) else _text(child))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _text(value: str | int) -> str:
    return escape(plain(str(value)), quote=True)
