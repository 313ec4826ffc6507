"""Reads finished trees into plain values. Pure: bytes in, frozen dataclasses out.

Protobuf ends here. A node's value is kept as the tree gives it; `without` takes the
credit of disowned answers back, exactly as if their rollouts had not been made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from google.protobuf.message import DecodeError

from rstar.v1 import tree_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.formats import PromptStep, StepKind
from rstar_common.streams import token

ROOT = 0

SYNTHETIC = "synthetic"
"""Label of problems that a model made, `true`."""

SYNTHETIC_RIGHT_SHARE = 0.5
"""Of judged trajectories: below it the answer of a synthetic problem is wrong (section 3.4)."""

_SCORES_FIRST = {
    (types_pb2.STRATEGY_MCTS, types_pb2.SEARCH_MODE_PPM_AUGMENTED),
    (types_pb2.STRATEGY_MCTS, types_pb2.SEARCH_MODE_TEST_TIME),
}
"""Searches in which a node begins with N = 1 and W = its PPM score (rStar-Math section 3.2)."""


class Outcome(Enum):
    """What is known of an answer."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """Undecided, or never judged: no example for anything."""


_KINDS = {
    types_pb2.STEP_KIND_CODE: StepKind.CODE,
    types_pb2.STEP_KIND_FINAL_CODE: StepKind.FINAL_CODE,
    types_pb2.STEP_KIND_ANSWER: StepKind.ANSWER,
}
_OUTCOMES = {
    types_pb2.VERDICT_EQUAL: Outcome.RIGHT,
    types_pb2.VERDICT_UNEQUAL: Outcome.WRONG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A step of a tree."""

    id: int
    parent: int
    step: PromptStep | None
    """None on a root, which is its own parent; a search of several trees has several."""

    visits: int
    value_sum: float
    prior: int = 0
    """Visits that are the PPM's score of the step: no rollout, and not backed up."""

    outcome: Outcome | None = None
    """Set on nodes that state an answer."""

    @property
    def is_root(self) -> bool:
        return self.parent == self.id

    @property
    def q(self) -> float:
        """Mean of what was backed up; 0 before anything was."""
        return self.value_sum / self.visits if self.visits else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """A path from the question to an answer."""

    leaf: int
    steps: tuple[PromptStep, ...]
    mean_q: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTree:
    """One finished search; `nodes[i].id == i`, parents come first, and roots before all."""

    search_id: str
    problem_id: str
    question: str
    nodes: tuple[TreeNode, ...]
    synthetic: bool = False
    """The problem and its answer were made by a model."""

    batch_id: str = ""
    """Whose search it is; empty if its file does not tell."""

    @property
    def doubtful(self) -> bool:
        """Whether a made-up answer is right less than half the time: it is not to be trusted."""
        outcomes = [one.outcome for one in self.trajectories()]
        right, wrong = outcomes.count(Outcome.RIGHT), outcomes.count(Outcome.WRONG)
        return self.synthetic and right < SYNTHETIC_RIGHT_SHARE * (right + wrong)

    def children(self) -> list[list[int]]:
        """Ids of each node's children."""
        children: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            if not node.is_root:
                children[node.parent].append(node.id)
        return children

    def path(self, node_id: int) -> list[TreeNode]:
        """From the root's child to `node_id`."""
        path = []
        node = self.nodes[node_id]
        while not node.is_root:
            path.append(node)
            node = self.nodes[node.parent]
        path.reverse()
        return path

    def steps(self, node_id: int) -> tuple[PromptStep, ...]:
        """The steps from the root's child to `node_id`."""
        return tuple(node.step for node in self.path(node_id) if node.step is not None)

    def trajectories(self) -> list[Trajectory]:
        """Every path to an answer, in the order of its leaf."""
        found = []
        for node in self.nodes[1:]:
            if node.outcome is not None:
                path = self.path(node.id)
                found.append(
                    Trajectory(
                        leaf=node.id,
                        steps=self.steps(node.id),
                        mean_q=sum(step.q for step in path) / len(path),
                        outcome=node.outcome,
                    )
                )
        return found

    def without(self, leaves: Collection[int]) -> SearchTree:
        """The tree as if these right answers had never been judged."""
        if not leaves:
            return self
        nodes = list(self.nodes)
        for leaf in leaves:
            visits = nodes[leaf].visits - nodes[leaf].prior
            path = self.path(leaf)
            for node in (nodes[path[0].parent], *path):
                current = nodes[node.id]
                nodes[node.id] = replace(
                    current,
                    visits=current.visits - visits,
                    # Each visit of a right answer was worth +1 to all above it.
                    value_sum=current.value_sum - visits,
                )
            nodes[leaf] = replace(nodes[leaf], outcome=Outcome.UNKNOWN)
        return replace(self, nodes=tuple(nodes))


def parse_tree(data: bytes) -> SearchTree:
    """Read a serialized `rstar.v1.Tree`.

    Raises:
        InvalidInput: it is none, or its nodes are not in order.
    """
    try:
        tree = tree_pb2.Tree.FromString(data)
    except DecodeError as error:
        raise InvalidInput("not a tree", field="tree") from error
    scores_first = (tree.settings.strategy, tree.settings.mode) in _SCORES_FIRST
    nodes = []
    for index, node in enumerate(tree.nodes):
        # Of several trees in one, the roots come first; each is its own parent.
        is_root = node.parent == index
        if node.id != index or node.parent > index or (index == ROOT and not is_root):
            raise InvalidInput(f"{tree.search_id}: node {index} is out of order", field="tree")
        answered = node.terminal == tree_pb2.TERMINAL_ANSWER
        seeded = scores_first and node.HasField("ppm_score")
        nodes.append(
            TreeNode(
                id=index,
                parent=node.parent,
                step=None if is_root else _step(node),
                visits=node.visits,
                value_sum=node.value_sum,
                prior=1 if seeded else 0,
                outcome=_OUTCOMES.get(node.verdict, Outcome.UNKNOWN) if answered else None,
            )
        )
    return SearchTree(
        search_id=tree.search_id,
        problem_id=tree.problem.problem_id,
        question=tree.problem.question,
        nodes=tuple(nodes),
        synthetic=tree.problem.labels.get(SYNTHETIC) == "true",
    )


def _step(node: tree_pb2.Node) -> PromptStep:
    step = node.candidate.step
    return PromptStep(
        text=step.text,
        kind=_KINDS.get(step.kind, StepKind.CODE),
        output=step.output or node.execution.stdout,
        token_ids=tuple(step.token_ids),
        tokenizer=step.tokenizer,
    )


def read_trees(files: Sequence[Path], *, batch_ids: Sequence[str] = ()) -> Iterator[SearchTree]:
    """The trees of `files`, one in memory at a time, in the order given; doubtful ones left out.

    A file is named `TOKEN-….pb` after its batch, which is told of trees of `batch_ids`.
    """
    batches = {token(batch_id): batch_id for batch_id in batch_ids}
    for path in files:
        tree = parse_tree(path.read_bytes())
        if tree.nodes and tree.question and not tree.doubtful:
            yield replace(tree, batch_id=batches.get(path.name.partition("-")[0], ""))
