"""Search trees of simple arithmetic, made without any search.

Shaped like those of the bootstrap proposer: small steps, right and wrong programs beside
each other, values backed up as terminal-guided search backs them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from rstar.v1 import tree_pb2, types_pb2

RIGHT = types_pb2.VERDICT_EQUAL
WRONG = types_pb2.VERDICT_UNEQUAL
UNDECIDED = types_pb2.VERDICT_UNDECIDED


@dataclass(slots=True)
class TreeMaker:
    """Builds a tree node by node and backs verdicts up."""

    question: str
    problem_id: str = "p"
    search_id: str = ""
    roots: int = 1
    _tree: tree_pb2.Tree = field(default_factory=tree_pb2.Tree)

    def __post_init__(self) -> None:
        self._tree.search_id = self.search_id or f"s-{self.problem_id}"
        self._tree.problem.problem_id = self.problem_id
        self._tree.problem.question = self.question
        for root in range(self.roots):
            self._tree.nodes.add(id=root, parent=root)

    def step(self, parent: int, text: str) -> int:
        """Add a code step."""
        return self._add(parent, text, types_pb2.STEP_KIND_CODE)

    def answer(
        self,
        parent: int,
        text: str,
        output: str,
        verdict: types_pb2.Verdict.ValueType,
        *,
        visits: int = 1,
    ) -> int:
        """Add a final code step whose output is the answer, and back its verdict up."""
        node_id = self._add(parent, text, types_pb2.STEP_KIND_FINAL_CODE)
        node = self._tree.nodes[node_id]
        node.candidate.step.output = output
        node.candidate.output_is_answer = True
        node.execution.stdout = output
        node.terminal = tree_pb2.TERMINAL_ANSWER
        node.answer = output.strip()
        node.verdict = verdict
        value = {RIGHT: 1.0, WRONG: -1.0}.get(verdict)
        if value is not None:
            for above in self._path(node_id):
                self._tree.nodes[above].visits += visits
                self._tree.nodes[above].value_sum += value * visits
        return node_id

    def score(self, node_id: int, ppm_score: float) -> None:
        """Let a node have begun with its PPM score, as in PPM-augmented search."""
        self._tree.settings.strategy = types_pb2.STRATEGY_MCTS
        self._tree.settings.mode = types_pb2.SEARCH_MODE_PPM_AUGMENTED
        node = self._tree.nodes[node_id]
        node.ppm_score = ppm_score
        node.visits += 1
        node.value_sum += ppm_score

    def build(self) -> tree_pb2.Tree:
        """The tree so far."""
        return self._tree

    def _add(self, parent: int, text: str, kind: types_pb2.StepKind.ValueType) -> int:
        node = self._tree.nodes.add(
            id=len(self._tree.nodes), parent=parent, depth=self._tree.nodes[parent].depth + 1
        )
        node.candidate.step.text = text
        node.candidate.step.kind = kind
        node.candidate.complete = True
        node.multiplicity = 1
        return node.id

    def _path(self, node_id: int) -> list[int]:
        path = [node_id]
        while self._tree.nodes[node_id].parent != node_id:
            node_id = self._tree.nodes[node_id].parent
            path.append(node_id)
        return path


_OPERATIONS = {"+": "plus", "-": "minus", "*": "times"}


def arithmetic_tree(rng: Random, number: int, *, digits: int = 2) -> tree_pb2.Tree:
    """`What is A plus B?` with a right and some wrong programs."""
    first, second = (rng.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
    operator, word = rng.choice(sorted(_OPERATIONS.items()))
    maker = TreeMaker(f"What is {first} {word} {second}?", problem_id=f"arithmetic-{number}")
    values = {"+": first + second, "-": first - second, "*": first * second}
    defined = maker.step(0, f"# Step 1: define the values\na = {first}\nb = {second}")
    for other in rng.sample(sorted(_OPERATIONS), 3):
        computed = maker.step(defined, f"# Step 2: compute\nr = a {other} b")
        maker.answer(
            computed,
            "# Now print the final answer\nprint(r)",
            f"{values[other]}\n",
            RIGHT if values[other] == values[operator] else WRONG,
        )
    swapped = maker.step(0, f"# Step 1: define the values\na = {second}\nb = {second}")
    computed = maker.step(swapped, f"# Step 2: compute\nr = a {operator} b")
    maker.answer(computed, "# Now print the final answer\nprint(r)", "?\n", WRONG)
    return maker.build()


def arithmetic_trees(count: int, *, seed: int = 0, digits: int = 2) -> Sequence[tree_pb2.Tree]:
    """`count` trees, the same for the same seed."""
    rng = Random(seed)
    return [arithmetic_tree(rng, number, digits=digits) for number in range(count)]
