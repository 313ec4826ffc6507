"""The paper's search once more, as plainly as it can be written: recursive, one rollout at a time.

Written from `rstar-math` section 2 alone, not from the searcher: no node store, no asking and
telling, no virtual loss. What it shares with the searcher is the world and the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from rstar_searcher.model import Expanded, Verdict
from rstar_searcher.settings import Mode, SearchSettings, UnvisitedRule

Expand = Callable[["PlainNode"], Awaitable[list[Expanded]]]


@dataclass
class PlainNode:
    key: str
    steps: tuple[Expanded, ...] = ()
    n: int = 0
    w: float = 0.0
    children: list[PlainNode] | None = None
    dead: bool = False
    """It ended a trajectory and was visited, or everything below it is dead."""


@dataclass
class PlainMcts:
    settings: SearchSettings
    expand: Expand
    root: PlainNode = field(default_factory=lambda: PlainNode("r"))
    values: list[float | None] = field(default_factory=list)

    async def search(self) -> None:
        for _ in range(self.settings.rollouts):
            if self.root.dead:
                return
            value = await self.rollout(self.root)
            self.values.append(value)

    async def rollout(self, node: PlainNode) -> float | None:
        """Descend from a node; back up on the way out; returns the value (None: undecided)."""
        ended, value = self.ended(node)
        if not ended:
            if node.children is None:
                node.children = [self.born(node, step) for step in await self.expand(node)]
            if node.children:
                value = await self.rollout(self.best(node))
                ended = all(child.dead for child in node.children)
            else:
                ended, value = True, -1.0
        if value is not None:
            node.n += 1
            node.w += value
        node.dead = ended
        return value

    def born(self, parent: PlainNode, step: Expanded) -> PlainNode:
        child = PlainNode(f"{parent.key}.{step.sample}", (*parent.steps, step))
        if self.settings.mode is not Mode.TERMINAL_GUIDED and step.ppm_score is not None:
            child.n, child.w = 1, step.ppm_score
        return child

    def ended(self, node: PlainNode) -> tuple[bool, float | None]:
        if not node.steps:
            return False, None
        last = node.steps[-1]
        if last.answer is not None:
            if self.settings.mode is Mode.TEST_TIME:
                return True, last.ppm_score or 0.0
            if last.verdict is Verdict.EQUAL:
                return True, 1.0
            return True, -1.0 if last.verdict is Verdict.UNEQUAL else None
        tokens = sum(len(step.candidate.token_ids) for step in node.steps)
        if (
            len(node.steps) >= self.settings.max_depth
            or tokens >= self.settings.max_trajectory_tokens
        ):
            return True, -1.0
        return False, None

    def best(self, node: PlainNode) -> PlainNode:
        def score(child: PlainNode) -> float:
            if child.n == 0:
                return math.inf if self.settings.unvisited_rule is UnvisitedRule.FIRST else 0.0
            return child.w / child.n + self.settings.exploration * math.sqrt(
                math.log(max(1, node.n)) / child.n
            )

        return max((child for child in node.children or () if not child.dead), key=score)

    def shape(self) -> dict[str, tuple[int, float, bool]]:
        found: dict[str, Any] = {}

        def visit(node: PlainNode) -> None:
            found[node.key] = (node.n, round(node.w, 9), node.dead)
            for child in node.children or ():
                visit(child)

        visit(self.root)
        return found
