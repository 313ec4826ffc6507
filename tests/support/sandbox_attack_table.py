"""All attacks, and their table in docs/sandbox-attacks.md.

python -m tests.support.sandbox_attack_table    # writes the table anew
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.support.sandbox_attacks_forgery import FORGERY
from tests.support.sandbox_attacks_judge import HOSTILE_ANSWERS
from tests.support.sandbox_attacks_limits import RESOURCES
from tests.support.sandbox_attacks_outward import FILES, KERNEL, NETWORK
from tests.support.sandbox_attacks_plain import PLAIN
from tests.support.sandbox_attacks_python import PYTHON
from tests.support.sandbox_attacks_siblings import SIBLINGS
from tests.support.sandbox_attacks_zygote import PROBLEMS, ZYGOTE

ATTACKS = (
    *NETWORK, *FILES, *PROBLEMS, *SIBLINGS, *PLAIN, *ZYGOTE, *RESOURCES, *FORGERY, *KERNEL, *PYTHON,
)  # fmt: skip
JUDGED = HOSTILE_ANSWERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox-attacks.md"
START, END = "<!-- table -->\n", "<!-- end of table -->\n"


def table() -> str:
    """One row an attack."""
    return "| group | attack | what must hold | test |\n|---|---|---|---|\n" + "".join(_rows())


def _rows() -> Iterator[str]:
    for attack in ATTACKS:
        test = f"`test_attacks_are_contained[{attack.group}]`"
        if attack.open_defect:
            test = f"**not contained yet**: {attack.open_defect}"
        yield f"| {attack.group} | {attack.name} | {attack.holds} | {test} |\n"
    for case in JUDGED:
        yield (
            f"| judge | {case.name} | {case.holds}"
            " | `test_hostile_answers_are_never_equal_within_the_clock` |\n"
        )


def documented(text: str) -> str:
    """The table within the document's text."""
    return text.partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text().partition(START)
    DOCUMENT.write_text(before + START + table() + END + rest.partition(END)[2])
