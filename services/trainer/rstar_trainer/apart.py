"""Questions that nobody may be taught: those of evaluation sets.

Searched problems are compared with them before a run begins. Variants of what was found are made
while a model is trained, and one may happen to ask what an evaluation set asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from rstar_common.questions import words


class Apart:
    """Evaluation questions, and how many variants asked one."""

    def __init__(self, questions: Iterable[str]) -> None:
        self._questions = frozenset(words(question) for question in questions)
        self.left_out = 0

    def allows(self, question: str) -> bool:
        """Whether a variant may be learned; counts those that may not."""
        allowed = words(question) not in self._questions
        self.left_out += not allowed
        return allowed
