"""Units at the end of an answer: taken off, and compared where both sides have one."""

from __future__ import annotations

import re
from collections import Counter
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
    "money": {"cent": "1/100", "dollar": "1"},
    "angle": {"degree": "1"},
    "share": {"percent": "1"},
}  # fmt: skip
_NAMES = {
    "millimeter": "mm", "centimeter": "cm", "decimeter": "dm", "meter": "m", "metre": "m",
    "kilometer": "km", "inches": "inch", "in": "inch", "ft": "foot", "feet": "foot", "yd": "yard",
    "mi": "mile", "gram": "g", "kilogram": "kg", "lb": "pound", "oz": "ounce", "sec": "second",
    "s": "second", "min": "minute", "hr": "hour", "h": "hour", "liter": "l", "litre": "l",
    "milliliter": "ml", "deg": "degree", "year": "year", "mph": "mile / hour", "kph": "km / hour",
    "square": "square", "cubic": "cubic", "unit": "", "°": "degree",
}  # fmt: skip
_FACTORS = {
    name: (dimension, 1, Fraction(factor))
    for dimension, names in _TABLE.items()
    for name, factor in names.items()
} | {"l": ("length", 3, Fraction(1, 1000)), "ml": ("length", 3, Fraction(1, 10**6))}
"""Of each unit: what it measures, to which power, and how many of the first unit it is."""

_WRAPPED = re.compile(
    r"\s*\\(?:text|mbox|textrm|mathrm|textit)\s*\{\s*([A-Za-z][A-Za-z /.]*?)\s*\}"
    r"\s*(?:\^\s*\{?\s*([23])\s*\}?)?$"
)
_PLAIN = re.compile(
    r"(?<=[\d})])\s*((?:mm|cm|dm|km|mg|kg|ml|inches|inch|feet|foot|ft|miles?|meters?|hours?|"
    r"minutes?|seconds?|days?|weeks?|years?|degrees?|dollars?|cents?|percent|units?|mph|kph|"
    r"centimeters?|kilometers?|grams?|kilograms?|pounds?|liters?|(?:square|cubic) [a-z]+)"
    r"(?:\s*/\s*[a-z]+)?)\s*(?:\^\s*\{?\s*([23])\s*\}?)?$"
)
_LETTERS = r"(?:mm|cm|dm|km|mg|kg|ml|mL|ms|min|sec|in|ft|yd|mi|lb|oz|hr|[mgshlL])(?![A-Za-z])"
_BARE = re.compile(
    rf"(?<=[\d}})])(\s*)({_LETTERS}(?:\s*/\s*{_LETTERS})?)((?:\s*\^\s*\{{?\s*[23]\s*\}}?)?)$"
)
"""What may be a unit as well as a product of letters."""

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


def spelled(text: str, *, spaced: bool) -> str:
    """With the letters at its end as a unit, if they may be one; `spaced`: behind a space only."""
    found = _BARE.search(text)
    if not found or (spaced and not found[1]):
        return text
    return rf"{text[: found.start()]}\text{{ {found[2]}}}{found[3]}"


def _name(words: str, power: str) -> str:
    """A unit in one spelling: singular, each power behind the word that it raises."""
    parts: list[str] = []
    before = ""
    for word in words.lower().replace(".", " ").replace("/", " / ").replace(" per ", " / ").split():
        word = _NAMES.get(word, word)
        if word and word not in _FACTORS and word.endswith("s") and len(word) > 3:
            word = _NAMES.get(word[:-1], word[:-1])
        if word in ("square", "sq", "cubic"):
            before = "^3" if word == "cubic" else "^2"
        elif word:
            parts.append(word + before)
            before = ""
    return " ".join(parts) + (f"^{power}" if power and parts else "")


def factor(ours: str, theirs: str) -> Fraction | str | None:
    """By what a measure in `ours` must be multiplied to be one in `theirs`.

    None when they cannot be the same quantity; "unknown" when that cannot be told.
    """
    if ours == theirs or not ours or not theirs:
        return Fraction(1)
    our_measure, their_measure = _measured(ours), _measured(theirs)
    if our_measure is None or their_measure is None:
        return "unknown"
    (our_kinds, our_factor), (their_kinds, their_factor) = our_measure, their_measure
    return our_factor / their_factor if our_kinds == their_kinds else None


def _measured(unit: str) -> tuple[dict[str, int], Fraction] | None:
    """What a unit measures, each to its power, and its size; None if one is not in the table."""
    kinds: Counter[str] = Counter()
    size, sign = Fraction(1), 1
    for word in unit.split():
        if word == "/":
            sign = -1
            continue
        name, *powers = word.split("^")
        # "m / s kg" does not say what is divided.
        if name not in _FACTORS or len(powers) > 1 or (sign < 0 and word != unit.split()[-1]):
            return None
        kind, times, how_many = _FACTORS[name]
        power = sign * int(powers[0] if powers else 1)
        kinds[kind] += times * power
        size *= how_many**power
    return dict(kinds), size
