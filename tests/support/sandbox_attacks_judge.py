"""Answers that attack the judge: its parser, its arithmetic, its verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileAnswer:
    """An answer that must not be equal to its reference, whatever it costs."""

    name: str
    answer: str
    reference: str = r"\frac{1}{2}"
    holds: str = "undecided or unequal within the clock"


HOSTILE_ANSWERS = (
    HostileAnswer(name="tower-of-exponents", answer="9^{9^{9^{9}}}"),
    HostileAnswer(name="tower-in-brackets", answer="((9^{9999})^{9999})^{9999}"),
    HostileAnswer(name="tower-with-letters", answer="2^{2^{n}}", reference="4^{2^{n}}"),
    HostileAnswer(name="repeated-factorials", answer="(10^{999})!!!!"),
    HostileAnswer(name="factorial-of-a-fraction", answer=r"(\frac{10^{60}}{3})!"),
    HostileAnswer(name="factorials-of-a-letter", answer="(((n!)!)!)!", reference="(((n!)!)!)! + n"),
    HostileAnswer(
        name="slow-to-work-out",
        answer="+".join(rf"\sin(\pi^{{99{n}}})" for n in range(10, 38)),
        reference="10^{-9999}+" + "+".join(rf"\sin(\pi^{{99{n}}})" for n in range(10, 38)),
    ),
    HostileAnswer(name="huge-integer", answer="9" * 3000),
    HostileAnswer(name="huge-binomial", answer=r"\binom{10^{50}}{10^{49}}"),
    HostileAnswer(name="huge-exponent", answer="x^{99999999}", reference="x^{2}"),
    HostileAnswer(name="expansion-bomb", answer="(a+b+c+d)^{9999}", reference="(a+b+c)^{9999}"),
    HostileAnswer(name="deep-brackets", answer="(" * 5000),
    HostileAnswer(name="deep-fractions", answer=r"\frac{" * 200 + "1" + "}{2}" * 200),
    HostileAnswer(name="list-bomb", answer="1," * 290 + "1", reference="1,2"),
    HostileAnswer(
        name="matrix-bomb",
        answer=r"\begin{pmatrix}" + "1&" * 250 + r"1\end{pmatrix}",
        reference=r"\begin{pmatrix}1&2\end{pmatrix}",
    ),
    HostileAnswer(name="sign-bomb", answer="-" * 500 + "1"),
    HostileAnswer(name="plus-minus-bomb", answer=r"\pm " * 100 + "1"),
    HostileAnswer(name="megabyte-of-letters", answer="a" * 1_000_000),
    HostileAnswer(name="megabyte-of-brackets", answer="{" * 1_000_000),
    HostileAnswer(name="python-code", answer='__import__("os").system("id")'),
    HostileAnswer(name="python-in-words", answer=r"\text{__import__('os')._exit(0)}"),
    HostileAnswer(name="latex-that-reads-files", answer=r"\input{/etc/passwd}"),
    HostileAnswer(name="latex-that-writes", answer=r"\write18{id}"),
    HostileAnswer(name="latex-that-redefines", answer=r"\def\frac{1}{2}"),
    HostileAnswer(name="forged-verdict", answer="equal"),
    HostileAnswer(name="forged-frame", answer='{"verdict": [0, "equal", ""]}'),
    HostileAnswer(name="control-characters", answer="\x00\x01\x02 equal"),
    HostileAnswer(name="lone-surrogate-escaped", answer=r"\ud800"),
    HostileAnswer(name="right-to-left-text", answer="\u202e2/1"),
    HostileAnswer(name="digits-of-other-scripts", answer="\u0661/\u0662"),
    HostileAnswer(
        name="sixty-right-digits",
        answer="1.41421356237309504880168872420969807856967187537694807317667",
        reference=r"\sqrt{2}",
    ),
    HostileAnswer(
        name="sum-of-right-digits",
        answer="0.7071067811865475244008443621048490392848359376884740365883"
        "+3.398689849236093940392424651932842105269*10^{-59}",
        reference=r"\frac{\sqrt{2}}{2}",
    ),
    HostileAnswer(
        name="zero-times-infinity", answer=r"0 \cdot \infty + \frac{1}{2}", reference=r"\frac{1}{2}"
    ),
    HostileAnswer(name="name-of-a-constant", answer="log of the base", reference=r"\log 2"),
)
