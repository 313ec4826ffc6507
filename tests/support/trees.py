"""Finished search trees made from a seed, for whatever shows or reads trees."""

from __future__ import annotations

from random import Random

from rstar.v1 import tree_pb2, types_pb2

VERSIONS = types_pb2.Versions(
    policy="policy-3f9c2a71bb04", ppm="ppm-77aa01c2de55", sandbox="5c1e8fb2d9"
)
HOSTILE = (
    "</pre></script><script>document.title='owned'</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "\x1b[2J\x1b]0;owned\x07\x1b[31m",
    "abc\u202edcb\u2066",
    "<!-- --><style>*{display:none}</style>",
)
"""Texts that would do something if anybody forgot to treat them as data."""


def grown_tree(nodes: int, *, seed: int = 0, hostile: bool = False) -> tree_pb2.Tree:
    """A tree of `nodes` nodes with executions, scores, answers and dropped candidates."""
    rng = Random(seed)
    tree = tree_pb2.Tree(search_id=f"search-{seed}")
    tree.problem.question = "Let f(x) = 3*x**2 - 5*x + 2. Suppose f(k) = 0 and k > 0.9. What is k?"
    tree.problem.problem_id = "grown/1"
    tree.nodes.add(id=0, parent=0)
    while len(tree.nodes) < nodes:
        open_nodes = [n for n in tree.nodes if not n.terminal and n.depth < 9]
        parent = max(open_nodes, key=lambda n: rng.random() * (1 + n.depth))
        for _ in range(min(rng.randint(1, 4), nodes - len(tree.nodes))):
            _grow(tree, parent, rng, hostile=hostile)
        if rng.random() < 0.3:
            _drop(tree, parent.id, rng, hostile=hostile)
    _finish(tree, rng)
    return tree


def _grow(tree: tree_pb2.Tree, parent: tree_pb2.Node, rng: Random, *, hostile: bool) -> None:
    node = tree.nodes.add(id=len(tree.nodes), parent=parent.id, depth=parent.depth + 1)
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    step = node.candidate.step
    step.text = rng.choice(
        [
            f"# Collect the terms\nr{node.id} = sympy.expand({a}*x - {b})\nprint(r{node.id})",
            f"eq = sympy.Eq(3*x**2 - {a}*x + {b}, 0)\nroots = sympy.solve(eq, x)\nprint(roots)",
            f"k = max(root for root in roots if root > {a / 100})  # the larger one\nprint(k)",
        ]
    )
    if hostile:
        step.text = rng.choice(HOSTILE) + "\n" + step.text
        node.execution.stdout = rng.choice(HOSTILE)
    step.kind = types_pb2.STEP_KIND_CODE
    step.token_ids.extend(range(rng.randint(8, 60)))
    node.candidate.token_logprobs.extend(-rng.random() for _ in step.token_ids)
    node.candidate.seed = rng.getrandbits(32)
    node.multiplicity = rng.choice([1, 1, 1, 2, 3])
    node.execution.stdout += f"{a}*x - {b}\n"
    node.execution.wall_seconds = rng.random() / 30
    node.ppm_score = rng.uniform(-1, 1)
    node.versions.CopyFrom(VERSIONS)
    if node.depth >= 3 and rng.random() < 0.25:
        node.terminal = tree_pb2.TERMINAL_ANSWER
        step.kind = types_pb2.STEP_KIND_FINAL_CODE
        node.answer = rng.choice(["1", "1", "2/3", HOSTILE[0] if hostile else "-1"])
        node.verdict = types_pb2.VERDICT_EQUAL if node.answer == "1" else types_pb2.VERDICT_UNEQUAL


def _drop(tree: tree_pb2.Tree, parent: int, rng: Random, *, hostile: bool) -> None:
    dropped = tree.dropped.add(parent=parent)
    dropped.candidate.step.text = f"print(1 / (roots[0] - {rng.randint(1, 9)}))"
    raised = dropped.execution.exception
    raised.type, raised.line = "ZeroDivisionError", 1
    raised.message = rng.choice(HOSTILE) if hostile else "division by zero"


def _finish(tree: tree_pb2.Tree, rng: Random) -> None:
    ends = [node for node in tree.nodes if node.terminal == tree_pb2.TERMINAL_ANSWER]
    for end in ends:
        value = 1.0 if end.verdict == types_pb2.VERDICT_EQUAL else -1.0
        for node_id in (*path_to(tree, end.id), 0):
            tree.nodes[node_id].visits += 1
            tree.nodes[node_id].value_sum += value
        tree.result.trajectories.add(
            node_ids=path_to(tree, end.id),
            answer=end.answer,
            ppm_score=end.ppm_score,
            verdict=end.verdict,
        )
    result = tree.result
    result.search_id = tree.search_id
    result.ended_by = tree_pb2.ENDED_BY_ROLLOUTS
    result.status = tree_pb2.SEARCH_STATUS_NO_ANSWER
    ranked = sorted(result.trajectories, key=lambda t: -t.ppm_score)
    del result.trajectories[:]
    result.trajectories.extend(ranked)
    if ranked:
        result.status = tree_pb2.SEARCH_STATUS_ANSWERED
        result.answer, result.answer_score = ranked[0].answer, ranked[0].ppm_score
        result.solution.extend(tree.nodes[i].candidate.step for i in ranked[0].node_ids)
    result.cost.rollouts, result.cost.wall_seconds = len(ends), 4.25
    result.cost.generated_tokens = sum(len(n.candidate.step.token_ids) for n in tree.nodes)
    result.cost.sandbox_runs = len(tree.nodes) - 1
    result.versions.CopyFrom(VERSIONS)
    result.settings.rollouts, result.settings.candidates = 16, 8
    result.settings.strategy = types_pb2.STRATEGY_MCTS
    result.settings.answer_selection = types_pb2.ANSWER_SELECTION_BEST_PPM
    result.settings.seed = rng.getrandbits(16)


def path_to(tree: tree_pb2.Tree, node_id: int) -> list[int]:
    """Ids from the root's child to a node."""
    path: list[int] = []
    while node_id != 0:
        path.append(node_id)
        node_id = tree.nodes[node_id].parent
    return path[::-1]
