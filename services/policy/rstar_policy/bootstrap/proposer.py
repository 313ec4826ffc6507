"""Proposes random next steps of a program: set up what the question defines, operate, print.

Stateless and seeded: what is in scope follows from the question and from the texts of the steps so
far. Set-up is nearly deterministic, so a search merges it; the samples go into the operations.
Candidates of one call differ as far as there are different ones. Executes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from random import Random

from rstar_policy.bootstrap import setup
from rstar_policy.bootstrap.choices import Choice, choices_over
from rstar_policy.bootstrap.menu import MENU_FILE, Menu, Value, load_menu
from rstar_policy.bootstrap.reading import Reading, read_question
from rstar_policy.bootstrap.scope import Scope, scope_of

FINAL_COMMENT = "# Now print the final answer"

STOP_UNOPERATED = 0.3
"""How often the question's only value is printed as it is."""

SECOND_OPERATION = 0.15
"""How often the result of an operation goes into another one."""

PAIR_AS_TEXTS = 0.3
"""How often several plain numbers are kept as the texts they are written as."""

DECIMAL_SHARE = {True: 0.6, False: 0.08}
"""How often a number is printed as a decimal, by whether the question writes one."""

MAX_OPERATIONS = 2
DISTINCT_TRIES = 8
"""Draws spent on a candidate that differs from those before it."""

CACHED_QUESTIONS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedStep:
    """One candidate next step."""

    text: str
    final: bool


class RandomProgramProposer:
    """Random programs over what a question's symbols define."""

    def __init__(self, menu: Menu | None = None) -> None:
        self.menu = menu or load_menu()
        self.version = f"bootstrap-{_content_hash()}"
        self._read = lru_cache(maxsize=CACHED_QUESTIONS)(read_question)
        self._choices = lru_cache(maxsize=CACHED_QUESTIONS)(partial(choices_over, self.menu))

    def propose(
        self, question: str, path: Sequence[str], *, num_candidates: int, seed: int
    ) -> list[ProposedStep]:
        """Draws candidates for the step after `path`, distinct as far as there are as many."""
        reading = self._read(question)
        # A batch gives all its problems one seed: by it alone, questions that read alike would all
        # draw the same few programs. Words have no part in it.
        rng = Random("\n".join((str(seed), str(reading), *path)))
        draw = self._stage(reading, path)
        steps: dict[str, ProposedStep] = {}
        repeats: list[ProposedStep] = []
        for _ in range(num_candidates):
            for _ in range(DISTINCT_TRIES):
                step = draw(rng)
                if step.text not in steps:
                    break
            if step.text in steps:
                repeats.append(step)
            steps.setdefault(step.text, step)
        return [*steps.values(), *repeats]

    def _stage(self, reading: Reading, path: Sequence[str]) -> Callable[[Random], ProposedStep]:
        """What comes next after `path`: definitions, names, operations or the answer."""
        groups = setup.groups(reading)
        number = len(path)
        if number < len(groups):
            return lambda rng: _step(
                number, "define", setup.definitions(groups[number], self.menu, rng)
            )
        scope = scope_of(reading, path, self.menu)
        if not scope.named or (reading.pair and not reading.bindings and not scope.results):
            return partial(self._name_or_operate, reading, scope, number)
        if number == 0:
            return lambda _: _step(0, "start", [])
        return partial(self._operate, reading, scope, number)

    def _name_or_operate(
        self, reading: Reading, scope: Scope, number: int, rng: Random
    ) -> ProposedStep:
        if reading.pair and rng.random() < PAIR_AS_TEXTS:
            return _step(number, "name", setup.bindings([reading.pair]))
        if not scope.named:
            return _step(number, "name", setup.bindings(reading.bindings))
        return self._operate(reading, scope, number, rng)

    def _operate(self, reading: Reading, scope: Scope, number: int, rng: Random) -> ProposedStep:
        done = len(scope.results)
        explicit = [value for value in scope.values if value.explicit]
        if done:
            stop = rng.random() >= SECOND_OPERATION or done >= MAX_OPERATIONS
        else:
            stop = len(explicit) == 1 and rng.random() < STOP_UNOPERATED
        options = () if stop else self._choices(scope.values, scope.results)
        if not options:
            return self._answer(reading, scope, explicit, rng)
        chosen: Choice = rng.choices(options, [option.weight for option in options])[0]
        constants = chosen.operation.constants()
        constant = rng.choice(constants) if constants else None
        result = reading.results[done % len(reading.results)]
        lines = chosen.operation.statements(chosen.arguments, constant, result)
        return _step(number, chosen.operation.name, lines)

    def _answer(
        self, reading: Reading, scope: Scope, explicit: list[Value], rng: Random
    ) -> ProposedStep:
        printable = [value for value in explicit if value.type in self.menu.prints]
        if scope.results:
            value = scope.results[-1]
        elif printable:
            value = rng.choice(printable)
        else:
            value = Value(code=str(rng.randint(0, 10)), type="bool", origin=0)
        forms = self.menu.prints[value.type]
        decimal = len(forms) > 1 and rng.random() < DECIMAL_SHARE[reading.decimals]
        line = forms[-1 if decimal else 0].replace("{0}", value.code)
        needs = ["from decimal import Decimal"] if "Decimal(" in line else []
        return ProposedStep(text="\n".join([FINAL_COMMENT, *needs, line]), final=True)


def _step(index: int, title: str, lines: list[str]) -> ProposedStep:
    header = setup.HEADER if index == 0 else ()
    text = "\n".join([f"# Step {index + 1}: {title}", *header, *lines])
    return ProposedStep(text=text, final=False)


def _content_hash() -> str:
    """Hash of the menu and of this package's code: what a candidate's text depends on."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(MENU_FILE.read_bytes())
    return digest.hexdigest()[:12]
