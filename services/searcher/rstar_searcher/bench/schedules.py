"""The comparison search, written out plainly, under two schedules without any overhead.

`ideal`: every problem goes on as soon as its own node is ready, nothing else holds it.
`lock_step`: as the method's public code does it: in each of the rollouts all trees take
each step together; all are generated, then all executed, then all scored. Both share
nothing with the searcher's own tree and driver, which makes them its judges. Run them on
the loop of `virtual_time`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rstar_searcher.bench.parameters import CANDIDATES, Parameters
from rstar_searcher.bench.simulation import Simulation
from rstar_searcher.bench.world import ROOT_PATH, World, reference, work_digest

EXPLORATION = 2.0


@dataclass(slots=True)
class _Node:
    path: str
    parent: _Node | None
    visits: int = 0
    value: float = 0.0
    terminal: bool = False
    children: list[_Node] = field(default_factory=list["_Node"])


@dataclass(slots=True)
class PlainSearch:
    """One problem's tree and the rollout that is under way."""

    pid: int
    world: World
    rollouts: int
    done: int = 0
    right: int = 0
    root: _Node = field(default_factory=lambda: _Node(ROOT_PATH, None))

    def next_leaf(self) -> _Node | None:
        """Descend from the root to a node without children; None when the search is over."""
        if self.done >= self.rollouts or self.root.terminal:
            return None
        return self.descend(self.root)

    def descend(self, node: _Node) -> _Node:
        """Go down by the best score, the first of equals, past terminal nodes."""
        while node.children:
            node = max((child for child in node.children if not child.terminal), key=self._score)
        return node

    def _score(self, node: _Node) -> float:
        assert node.parent is not None
        bonus = math.log(max(1, node.parent.visits)) / node.visits
        return node.value / node.visits + EXPLORATION * math.sqrt(bonus)

    def is_final(self, node: _Node) -> bool:
        """Whether the node's children are answers."""
        return self.world.is_final(self.pid, node.path)

    def grow(self, node: _Node) -> _Node:
        """Attach the children of a step that goes on; returns where the rollout goes next."""
        for j in range(CANDIDATES):
            path = f"{node.path}.{j}"
            value = self.world.ppm_value(self.pid, path)
            node.children.append(_Node(path, node, visits=1, value=value))
        return self.descend(node)

    def answer(self, node: _Node) -> None:
        """End the rollout at a final code step: its first child's answer is backed up."""
        right = self.world.answer(self.pid, f"{node.path}.0") == reference(self.pid)
        self.done += 1
        self.right += right
        up: _Node | None = node
        while up is not None:
            up.visits += 1
            up.value += 1 if right else -1
            up = up.parent
        node.terminal = True
        up = node.parent
        while up is not None and all(child.terminal for child in up.children):
            up.terminal = True
            up = up.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What came of one."""

    seconds: float
    busy: float
    expansions: int
    sequences: int
    tokens: int
    answers: int
    right: int
    digest: str


def _report(simulation: Simulation, searches: Sequence[PlainSearch]) -> Schedule:
    return Schedule(
        seconds=simulation.now,
        busy=simulation.engine_busy,
        expansions=len(simulation.expanded),
        sequences=simulation.sequences,
        tokens=simulation.tokens,
        answers=sum(search.done for search in searches),
        right=sum(search.right for search in searches),
        digest=work_digest(simulation.expanded),
    )


def _searches(parameters: Parameters, problems: int, rollouts: int) -> list[PlainSearch]:
    return [PlainSearch(pid, parameters.world, rollouts) for pid in range(problems)]


async def ideal(parameters: Parameters, *, problems: int, rollouts: int) -> Schedule:
    """The asynchronous schedule: a tree waits for its own node only."""
    simulation = Simulation(parameters)
    searches = _searches(parameters, problems, rollouts)

    async def run(search: PlainSearch) -> None:
        while (node := search.next_leaf()) is not None:
            while True:
                await simulation.generate(search.pid, node.path, CANDIDATES)
                if search.is_final(node):
                    break
                paths = [f"{node.path}.{j}" for j in range(CANDIDATES)]
                durations = [simulation.world.execution_seconds(search.pid, p) for p in paths]
                await asyncio.gather(simulation.execute(durations), simulation.score(len(paths)))
                node = search.grow(node)
            search.answer(node)

    await asyncio.gather(*(run(search) for search in searches))
    return _report(simulation, searches)


async def lock_step(
    parameters: Parameters, *, problems: int, rollouts: int, reexecute: bool
) -> Schedule:
    """All trees together, behind barriers; with `reexecute` a step runs its path again."""
    simulation = Simulation(parameters)
    searches = _searches(parameters, problems, rollouts)

    def duration(pid: int, path: str) -> float:
        parts = path.split(".")
        first = 2 if reexecute else len(parts)
        return sum(
            simulation.world.execution_seconds(pid, ".".join(parts[:end]))
            for end in range(first, len(parts) + 1)
        )

    for _ in range(rollouts):
        active = [(s, leaf) for s in searches if (leaf := s.next_leaf()) is not None]
        while active:
            await asyncio.gather(
                *(simulation.generate(s.pid, leaf.path, CANDIDATES) for s, leaf in active)
            )
            growing = []
            for search, leaf in active:
                if search.is_final(leaf):
                    search.answer(leaf)
                else:
                    growing.append((search, leaf))
            await simulation.execute(
                [
                    duration(search.pid, f"{leaf.path}.{j}")
                    for search, leaf in growing
                    for j in range(CANDIDATES)
                ]
            )
            await simulation.score(CANDIDATES * len(growing))
            active = [(search, search.grow(leaf)) for search, leaf in growing]
    return _report(simulation, searches)
