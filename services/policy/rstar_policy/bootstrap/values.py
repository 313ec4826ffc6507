"""Gives names and types to the values that a question mentions without naming them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rstar_policy.bootstrap.menu import Value
from rstar_policy.bootstrap.spans import Shape, Span

VALUE_NAMES = "ABCDFGHJKLMPVWXYZ"
"""Names for what the question leaves unnamed; E, I, N, O, Q, S mean something to sympy."""

MAX_VALUES = 8
"""Values taken from one question; later ones are left alone."""

SYMBOL = re.compile(r"(?<![A-Za-z0-9])([A-Za-z])(?![A-Za-z0-9])")
DIGIT_TEXT = re.compile(r"-?[0-9a-z]+(?: [-+] -?[0-9a-z]+)*")
CALL = re.compile(r"[a-z]{2}\(")
CHOICE_END = re.compile(r", (?=\w+: )")

COUNTER = "from collections import Counter"
DATETIME = "from datetime import datetime, timedelta"

COUNTED, IMPLIED, PAIRED = -1, -2, -3
"""Origins of values that stand for no single span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A value the question leaves unnamed: its name, and the code that makes it."""

    value: Value
    code: str
    needs: str = ""


def free_symbols(text: str, bound: Mapping[str, str]) -> list[str]:
    """Symbols of a text that nothing has defined yet, in order of appearance."""
    return [name for name in dict.fromkeys(SYMBOL.findall(text)) if name not in bound]


def name_values(
    question: str, spans: list[Span], bound: Mapping[str, str]
) -> tuple[list[Binding], list[Value], Binding | None]:
    """Bindings, all values, and the numbers as texts if the values are several plain numbers."""
    taken = set(SYMBOL.findall(question))
    free_names = [name for name in VALUE_NAMES if name not in taken]
    names = iter(free_names)
    bindings: list[Binding] = []
    values: list[Value] = []
    counted: list[list[str]] = []
    for origin, span in enumerate(_mathematical(question, spans)[:MAX_VALUES]):
        if span.shape is Shape.PICK and " " in span.text:
            counted.append(span.text.split())
        elif _is_symbol(span):
            kind = bound.get(span.text, "sym")
            values.append(Value(code=span.text, type=kind, origin=origin))
        else:
            values += _as_text(span, origin)
            if span.shape is not Shape.DIGITS and (name := next(names, "")):
                bindings.append(_bind(name, span, origin, bound))
                values.append(bindings[-1].value)
    if counted and (name := next(names, "")):
        bag = ", ".join(f"{letter}={count}" for count, letter in counted)
        value = Value(code=name, type="bag", origin=COUNTED)
        bindings.append(Binding(value=value, code=f"Counter({bag})", needs=COUNTER))
        values.append(value)
    pair = _pair(free_names[0], bindings, values) if free_names else None
    return bindings, values + _implied_symbols(bindings, values, bound), pair


def _mathematical(question: str, spans: list[Span]) -> list[Span]:
    """The spans, but for a letter on its own that occurs nowhere else: that is a short word."""

    def is_word(span: Span) -> bool:
        around = rf"(?<![A-Za-z]){re.escape(span.text)}(?![A-Za-z])"
        return len(re.findall(around, question)) == 1 and f"{span.text}'" not in question

    return [span for span in spans if not (_is_symbol(span) and is_word(span))]


def _is_symbol(span: Span) -> bool:
    return span.shape is Shape.SCALAR and len(span.text) == 1 and span.text.isalpha()


def _as_text(span: Span, origin: int) -> list[Value]:
    """Digits as they are written, for operations that read them in another base."""
    if span.shape not in {Shape.DIGITS, Shape.SCALAR} or not DIGIT_TEXT.fullmatch(span.text):
        return []
    if not re.search(r"\d", span.text):
        return []
    only_text = span.shape is Shape.DIGITS
    return [Value(code=repr(span.text), type="text", origin=origin, explicit=only_text)]


def _bind(name: str, span: Span, origin: int, bound: Mapping[str, str]) -> Binding:
    text, needs, labelled = span.text, "", False
    match span.shape:
        case Shape.LIST:
            kind, code = "coll", f"{text!r}.split(', ')"
        case Shape.CHOICES:
            kind, labelled = "coll", True
            # A choice may be a point, and hold a comma itself.
            items = (item.partition(": ") for item in CHOICE_END.split(text))
            code = f"dict({', '.join(f'{label}=E({value!r})' for label, _, value in items)})"
        case Shape.BAG | Shape.PICK:
            kind, needs = "bag", COUNTER
            code = f"Counter({text.replace(': ', '=') if ':' in text else repr(text)})"
        case Shape.CLOCK:
            kind, needs = "time", DATETIME
            code = f"datetime.strptime({text!r}, '%I:%M %p')"
        case Shape.EQUATION:
            kind, code = "eq", f"E({text!r})"
        case Shape.RELATION:
            kind, code = "bool", f"E({text!r})"
        case _:
            number = "surd" if CALL.search(text) else "num"
            kind, code = "expr" if free_symbols(text, bound) else number, f"E({text!r})"
    value = Value(code=name, type=kind, origin=origin, labelled=labelled)
    return Binding(value=value, code=code, needs=needs)


def _implied_symbols(
    bindings: list[Binding], values: list[Value], bound: Mapping[str, str]
) -> list[Value]:
    """The symbols that occur only inside expressions and equations."""
    mentioned = {value.code for value in values}
    inside = " ".join(one.code[3:-2] for one in bindings if one.value.type in {"expr", "eq"})
    return [
        Value(code=name, type="sym", origin=IMPLIED, explicit=False)
        for name in free_symbols(inside, bound)
        if name not in mentioned
    ]


def _pair(name: str, bindings: list[Binding], values: list[Value]) -> Binding | None:
    plain = [value for value in values if value.type != "text"]
    if len(plain) < 2 or any(value.type != "num" for value in plain):
        return None
    source = {binding.value.code: binding.code[3:-2] for binding in bindings}
    texts = [source.get(value.code, value.code) for value in plain]
    return Binding(value=Value(code=name, type="coll", origin=PAIRED), code=repr(texts))
