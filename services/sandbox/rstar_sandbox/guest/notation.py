"""Which LaTeX may reach a parser, and how its spelling is evened out before.

An allow-list: what is not known is refused with the reason, and becomes an undecided verdict. The
bounds keep a parser's and an evaluator's work small; the clock around them is the last resort.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 600
MAX_DIGITS = 60
MAX_NESTING = 16
MAX_POWERS = 40
MAX_POWER_DEPTH = 2
MAX_EXPONENT_DIGITS = 4

_COMMAND_LIST = """
    frac sqrt cdot times div pm mp infty cup in mid leq geq lt gt neq sin cos tan cot sec csc arcsin
    arccos arctan sinh cosh tanh log ln lg exp max min text textbf textit textrm mathrm mathbf
    mathbb mathit operatorname mbox begin end pi theta alpha beta gamma delta epsilon varepsilon
    zeta eta iota kappa lambda mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta
    Lambda Xi Pi Sigma Phi Psi Omega circ overline bar vec hat tilde overrightarrow binom lfloor
    rfloor lceil rceil langle rangle vert emptyset angle triangle prime ast hline mho ell
"""
_ENVIRONMENT_LIST = "matrix pmatrix bmatrix Bmatrix array"

_COMMANDS = frozenset(_COMMAND_LIST.split())
_ENVIRONMENTS = frozenset(_ENVIRONMENT_LIST.split())

_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{([^{}]*)\}")
_SYMBOLS = frozenset(r"%$\{}")
_ALLOWED = re.compile(r"[\x20-\x7e\n\t]*")
_BAD_CODE = re.compile(r"__|import|lambda\s*:|eval|exec|getattr|open\s*\(")
_CHAIN = re.compile(r"\^\s*[\w.]+\s*\^")
_REPLACEMENTS = {
    "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u00f7": r"\div ",
    "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u2264": r"\leq ", "\u2265": r"\geq ",
    "\u2260": r"\neq ", "\u00b0": r"^\circ ", "\u222a": r"\cup ", "\u221a": r"\sqrt",
    "\u00a0": " ", "\u2009": " ", "\u03b8": r"\theta ", "\u00b1": r"\pm ", "~": " ",
}  # fmt: skip
_SPELLINGS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leqslant": "leq", "geqslant": "geq", "le": "leq", "ge": "geq", "ne": "neq",
    "varnothing": "emptyset", "lvert": "vert", "rvert": "vert", "Bbb": "mathbb",
    "thinspace": "", "displaystyle": "", "textstyle": "",
    "limits": "", "left": "", "right": "", "big": "", "Big": "", "bigg": "", "Bigg": "",
    "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "quad": "", "qquad": "", "space": "",
    "boldsymbol": "mathbf", "bf": "", "rm": "",
}  # fmt: skip
"""Commands that say the same as another, or nothing."""

_GLUED = re.compile(
    r"\\(leqslant|geqslant|leq|geq|cdot|times|pi|lfloor|lceil|in|cup|pm|angle)(?=[a-z]$|[A-Z]+$)"
)
"""Commands that careless extraction leaves glued to the letter after them."""

_BRACES = {r"\lbrace": r"\{", r"\rbrace": r"\}"}
_DEGREE = re.compile(r"\^\s*\{\s*\\degree\s*\}|(?:\^\s*)?\\degree(?![A-Za-z])")
_SPACING = re.compile(r"(?<!\\)\\[,;:\s]")
_PLAIN = re.compile(
    r"(?<![A-Za-z\\])(sqrt|pi|oo|sin|cos|tan|log|ln|exp|asin|acos|atan)(?![A-Za-z])"
)
_PLAIN_NAMES = {"oo": "infty", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_THOUSANDS = re.compile(
    r"(?:(?<![\d.])[1-9]\d{0,2}|(?<=\.)\d{3})(?:(?:\{,\}|,\s*\\!|\\!,|\\,)\s*\d{3})+(?!\d)"
)
"""A number whose separators say that they part no list: before its point or behind it."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}", re.DOTALL)


def tidy(text: str) -> str:
    """Spelling only: signs, sizes of brackets, spaces, a box around all, Python's names."""
    for found, wanted in (_REPLACEMENTS | _BRACES).items():
        text = text.replace(found, wanted)
    text = _DEGREE.sub(r"^\\circ ", text).strip().strip("$").strip()
    while boxed := _BOX.fullmatch(text):
        text = boxed[1].strip()
    text = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    text = _SPACING.sub(" ", text).replace(r"\!", "")
    text = _COMMAND.sub(_respell, text)
    text = _PLAIN.sub(lambda found: rf"\{_PLAIN_NAMES.get(found[1], found[1])} ", text)
    text = text.replace("**", "^")
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    return " ".join(text.split())


def _respell(found: re.Match[str]) -> str:
    name = found[1]
    if not name[0].isalpha():
        return found[0]
    if name not in _COMMANDS and name not in _SPELLINGS and (glued := _GLUED.match(found[0])):
        return rf"\{_SPELLINGS.get(glued[1], glued[1])} {found[0][glued.end() :]}"
    name = _SPELLINGS.get(name, name)
    # A space, or the letter that follows would become a part of the command.
    return (rf"\{name}" if name else "") + (" " if found[1] != name else "")


def same_list(ours: str, theirs: str) -> bool:
    """Whether two texts would be the same list if no comma in them grouped digits."""
    our_parts, their_parts = (
        sorted(part.strip() for part in text.split(",")) for text in (ours, theirs)
    )
    return len(our_parts) > 1 and our_parts == their_parts and "".join(our_parts).isdecimal()


def refuse(text: str) -> str:
    """Why no parser shall see this tidied text; empty if one may."""
    if not text:
        return "is empty"
    if len(text) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    if not _ALLOWED.fullmatch(text):
        return "has characters outside the allow-list"
    for name in _COMMAND.findall(text):
        if name not in _COMMANDS and name not in _SYMBOLS:
            return f"has the command {name[:20]!r}, which is not on the allow-list"
    if unknown := set(_ENVIRONMENT.findall(text)) - _ENVIRONMENTS:
        return f"has the environment {min(unknown)[:20]!r}, which is not on the allow-list"
    if _BAD_CODE.search(text):
        return "looks like code"
    if re.search(rf"\d{{{MAX_DIGITS + 1}}}", text):
        return f"has a number of more than {MAX_DIGITS} digits"
    return _towers(text)


def _towers(text: str) -> str:
    nesting = 0
    powers: list[int] = []  # the nesting at which each open exponent began
    for index, character in enumerate(text):
        if character in "{([":
            nesting += 1
        elif character in "})]":
            nesting -= 1
            powers = [depth for depth in powers if depth < nesting]
        elif character == "^":
            powers.append(nesting)
            exponent = text[index + 1 : index + 40]
            if re.match(rf"\s*\{{?\s*[-+(]*\s*\d{{{MAX_EXPONENT_DIGITS + 1}}}", exponent):
                return f"has an exponent of more than {MAX_EXPONENT_DIGITS} digits"
        if nesting > MAX_NESTING:
            return "is nested too deeply"
        if len(set(powers)) > MAX_POWER_DEPTH:
            return "has a tower of exponents"
    if _CHAIN.search(text):
        return "has a tower of exponents"
    return "has too many exponents" if text.count("^") > MAX_POWERS else ""
