"""Solve one problem and see the search as it runs.

eval "$(rstar env)"            # sets RSTAR_ADDRESS
python examples/python/solve_stream.py "Solve 3*x + 4 = 19 for x."
"""

import asyncio
import os
import sys

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2


async def main() -> None:
    """Ask, and print every event."""
    question = sys.argv[1] if len(sys.argv) > 1 else "Solve 3*x + 4 = 19 for x."
    request = searcher_pb2.SolveRequest(
        problem=types_pb2.Problem(question=question),
        settings=types_pb2.SearchSettings(rollouts=8, seed=1),
    )
    async with grpc.aio.insecure_channel(os.environ["RSTAR_ADDRESS"]) as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        async for event in stub.SolveStream(request, timeout=300):
            match event.WhichOneof("event"):
                case "started":
                    print("search", event.search_id)
                case "expansion":
                    expansion = event.expansion
                    kept, dropped = len(expansion.children), expansion.dropped
                    print(f"node {expansion.parent}: {kept} steps, {dropped} dropped")
                case "rollout_ended":
                    ended = event.rollout_ended
                    count = f"{ended.rollouts_done} of {ended.rollouts_total}"
                    print(f"rollout {count}: {ended.best_answer}")
                case "finished":
                    print("answer:", event.finished.result.answer)


if __name__ == "__main__":
    asyncio.run(main())
