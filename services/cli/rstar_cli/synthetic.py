"""Problems that a model wrote become a problem set, where enough solutions agree on an answer.

Source: rStar-Math section 3.4.1 keeps a synthetic problem if 3 of 10 generated solutions agree.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, tree_pb2, types_pb2
from rstar_common.errors import InvalidInput
from rstar_common.rpc import call

INDEPENDENT = (types_pb2.STRATEGY_MAJORITY, types_pb2.STRATEGY_BEST_OF_N)
"""Strategies whose votes are solutions. Those of a tree share beginnings; its votes are shares."""

AT_ONCE = 8
"""Trees that are read side by side."""

_GET_SECONDS = 60.0


def agreed_line(tree: tree_pb2.Tree, least: int) -> str | None:
    """A line of a problem file, with the answer that most solutions state; None if too few do.

    Answers are the same if their texts are. The line's label `agreed` says how many they were.

    Raises:
        InvalidInput: the solutions are not independent of each other.
    """
    if tree.settings.strategy not in INDEPENDENT:
        raise InvalidInput(
            "solutions of a tree are not independent: search with --strategy majority",
            field=f"search {tree.search_id}: strategy",
        )
    votes: Counter[str] = Counter()
    for trajectory in tree.result.trajectories:
        votes[trajectory.answer] += round(trajectory.votes)
    [(answer, count)] = votes.most_common(1) or [("", 0)]
    if count < least:
        return None
    line = {
        **tree.problem.labels,
        "id": tree.problem.problem_id,
        "question": tree.problem.question,
        "answer": answer,
        "answer_kind": types_pb2.AnswerKind.Name(tree.problem.answer_kind)
        .removeprefix("ANSWER_KIND_")
        .lower(),
        "agreed": count,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


async def agreed_lines(
    stub: searcher_pb2_grpc.SearcherServiceAsyncStub,
    found: Sequence[searcher_pb2.BatchResult],
    least: int,
) -> list[str]:
    """The lines of all results whose solutions agree, in their order.

    Raises:
        InvalidInput: as `agreed_line`.
        NotFound: a tree is no longer in the store.
    """
    lines: list[str] = []
    answered = [
        item.result.search_id
        for item in found
        if item.result.status == tree_pb2.SEARCH_STATUS_ANSWERED
    ]
    for start in range(0, len(answered), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            reading = [
                group.create_task(_tree(stub, search_id))
                for search_id in answered[start : start + AT_ONCE]
            ]
        lines += [line for one in reading if (line := agreed_line(one.result(), least))]
    return lines


async def _tree(stub: searcher_pb2_grpc.SearcherServiceAsyncStub, search_id: str) -> tree_pb2.Tree:
    request = searcher_pb2.GetTreeRequest(search_id=search_id)
    return (await call(stub.GetTree(request, timeout=_GET_SECONDS))).tree
