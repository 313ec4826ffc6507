"""Units at the end of an answer: taken off, and compared where both sides have one."""

from __future__ import annotations

import re
from fractions import Fraction

_TABLE = {
    "length": {
        "mm": "1/1000", "cm": "1/100", "dm": "1/10", "m": "1", "km": "1000", "inch": "0.0254",
        "foot": "0.3048", "yard": "0.9144", "mile": "1609.344",
    },
    "mass": {"mg": "1/1000", "g": "1", "kg": "1000", "ton": "1000000", "pound": "453.59237",
             "ounce": "28.349523125"},
    "time": {"ms": "1/1000", "second": "1", "minute": "60", "hour": "3600", "day": "86400",
             "week": "604800"},
    "volume": {"ml": "1/1000", "l": "1"},
    "money": {"cent": "1/100", "dollar": "1"},
    "angle": {"degree": "1"},
    "share": {"percent": "1"},
}  # fmt: skip
_NAMES = {
    "millimeter": "mm", "centimeter": "cm", "decimeter": "dm", "meter": "m", "metre": "m",
    "kilometer": "km", "inches": "inch", "in": "inch", "ft": "foot", "feet": "foot", "yd": "yard",
    "mi": "mile", "gram": "g", "kilogram": "kg", "lb": "pound", "oz": "ounce", "sec": "second",
    "s": "second", "min": "minute", "hr": "hour", "h": "hour", "liter": "l", "litre": "l",
    "milliliter": "ml", "deg": "degree", "year": "year", "mph": "mile/hour", "kph": "km/hour",
    "square": "square", "cubic": "cubic", "unit": "", "°": "degree",
}  # fmt: skip
_FACTORS = {
    name: (dimension, Fraction(factor))
    for dimension, names in _TABLE.items()
    for name, factor in names.items()
}

_WRAPPED = re.compile(
    r"\s*\\(?:text|mbox|textrm|mathrm|textit)\s*\{\s*([A-Za-z][A-Za-z /.]*?)\s*\}"
    r"\s*(?:\^\s*\{?\s*([23])\s*\}?)?$"
)
_PLAIN = re.compile(
    r"(?<=[\d})])\s*((?:mm|cm|dm|km|mg|kg|ml|inches|inch|feet|foot|ft|miles?|meters?|hours?|"
    r"minutes?|seconds?|days?|weeks?|years?|degrees?|dollars?|cents?|percent|units?|mph|"
    r"centimeters?|kilometers?|grams?|kilograms?|pounds?|liters?|(?:square|cubic) [a-z]+)"
    r"(?:\s*/\s*[a-z]+)?)\s*(?:\^\s*\{?\s*([23])\s*\}?)?$"
)
_DEGREES = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*$")
_PERCENT = re.compile(r"\s*\\?%$")
_MONEY = re.compile(r"^\s*([-+]?)\s*\\?\$\s*")


def split(text: str) -> tuple[str, str]:
    """What is measured, and in what; an empty unit when there is none."""
    if found := _DEGREES.search(text):
        return text[: found.start()], "degree"
    if found := _PERCENT.search(text):
        return text[: found.start()], "percent"
    if (found := _MONEY.match(text)) and found.end() < len(text):
        return found[1] + text[found.end() :], "dollar"
    found = _WRAPPED.search(text) or _PLAIN.search(text)
    if not found or not text[: found.start()].strip():
        return text, ""
    return text[: found.start()], _name(found[1], found[2] or "")


def _name(words: str, power: str) -> str:
    """A unit in one spelling: singular, its power at the end."""
    parts = []
    for word in words.lower().replace(".", " ").replace("/", " / ").replace(" per ", " / ").split():
        word = _NAMES.get(word, word)
        if word and word not in _FACTORS and word.endswith("s") and len(word) > 3:
            word = _NAMES.get(word[:-1], word[:-1])
        if word in ("square", "sq", "cubic"):
            power = "3" if word == "cubic" else "2"
        elif word:
            parts.append(word)
    return " ".join(parts) + (f"^{power}" if power and parts else "")


def factor(ours: str, theirs: str) -> Fraction | str | None:
    """By what a measure in `ours` must be multiplied to be one in `theirs`.

    None when they cannot be the same quantity; "unknown" when that cannot be told.
    """
    if ours == theirs or not ours or not theirs:
        return Fraction(1)
    (our_name, _, our_power), (their_name, _, their_power) = (
        unit.partition("^") for unit in (ours, theirs)
    )
    if our_name not in _FACTORS or their_name not in _FACTORS:
        return "unknown"
    (our_kind, our_factor), (their_kind, their_factor) = _FACTORS[our_name], _FACTORS[their_name]
    if our_kind != their_kind or our_power != their_power:
        return None
    return (our_factor / their_factor) ** int(our_power or 1)
