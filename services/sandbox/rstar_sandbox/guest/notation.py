"""Which LaTeX may reach a parser, and how its spelling is evened out before.

An allow-list: what is not known is refused with the reason, and becomes an undecided verdict. The
bounds keep a parser's and an evaluator's work small; the clock around them is the last resort.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 600
MAX_DIGITS = 60
MAX_NESTING = 16
MAX_POWERS = 12
MAX_POWER_DEPTH = 2
MAX_EXPONENT_DIGITS = 4

_COMMAND_LIST = """
    frac dfrac tfrac cfrac sqrt left right big Big bigg Bigg bigl bigr Bigl Bigr cdot times div pm
    mp infty cup cap in notin subset subseteq setminus emptyset varnothing mid leq geq le ge lt gt
    leqslant geqslant ne neq approx equiv sin cos tan cot sec csc arcsin arccos arctan sinh cosh
    tanh log ln lg exp max min gcd lcm text textbf textit textrm mathrm mathbf mathbb mathcal mathit
    boldsymbol operatorname mbox begin end pi theta alpha beta gamma delta epsilon varepsilon zeta
    eta iota kappa lambda mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda
    Xi Pi Sigma Phi Psi Omega circ degree quad qquad boxed fbox overline bar vec hat binom dbinom
    tbinom lfloor rfloor lceil rceil langle rangle lbrace rbrace lvert rvert lVert rVert vert ldots
    cdots dots colon to rightarrow implies land lor wedge vee neg forall exists angle triangle prime
    ast star bullet displaystyle textstyle limits sum prod int lim partial nabla mod bmod pmod pmb
    hline space
"""
_ENVIRONMENT_LIST = "matrix pmatrix bmatrix vmatrix Bmatrix array cases aligned align"

_COMMANDS = frozenset(_COMMAND_LIST.split())
_ENVIRONMENTS = frozenset(_ENVIRONMENT_LIST.split())

_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{([^{}]*)\}")
_SYMBOLS = set(r"%$!,;:{}()[]|\ &#_>" + "\n")
_ALLOWED = re.compile(r"[\x20-\x7e\n\t]*")
_BAD_CODE = re.compile(r"__|import|lambda|eval|exec|getattr|open\s*\(")
_CHAIN = re.compile(r"\^\s*[\w.]+\s*\^")
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree)\s*$")
_REPLACEMENTS = {
    "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u00f7": r"\div ",
    "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u2264": r"\leq ", "\u2265": r"\geq ",
    "\u2260": r"\neq ", "\u00b0": r"^\circ ", "\u222a": r"\cup ", "\u2229": r"\cap ",
    "\u221a": r"\sqrt", "\u00a0": " ", "\u2009": " ", "\u03b8": r"\theta ",
    r"\leqslant": r"\leq", r"\geqslant": r"\geq", r"\dfrac": r"\frac", r"\tfrac": r"\frac",
    r"\cfrac": r"\frac", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\!": "", r"\displaystyle": "",
}  # fmt: skip


def tidy(text: str) -> str:
    """Spelling only: unicode signs, dollar signs, a box around all, units of angle and percent."""
    for found, wanted in _REPLACEMENTS.items():
        text = text.replace(found, wanted)
    text = text.strip().strip("$").strip()
    boxed = re.fullmatch(r"\\(?:boxed|fbox)\s*\{(.*)\}", text, re.DOTALL)
    text = boxed[1].strip() if boxed else text
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    text = re.sub(r"\s*\\?%$", "", text)
    text = re.sub(r"^\\?\$", "", text)
    text = re.sub(r"(?<=\d)\{,\}(?=\d{3})", ",", text)
    return _DEGREES.sub("", text)


def refuse(text: str) -> str:
    """Why no parser shall see this text; empty if one may."""
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
