"""Solve one problem. Needs grpcio and the generated stubs of `proto/gen`, nothing else of ours.

eval "$(rstar env)"            # sets RSTAR_ADDRESS
python examples/python/solve.py "Solve 3*x + 4 = 19 for x."
"""

import os
import sys

import grpc

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2


def main() -> None:
    """Ask, and print the steps of the answer."""
    question = sys.argv[1] if len(sys.argv) > 1 else "Solve 3*x + 4 = 19 for x."
    request = searcher_pb2.SolveRequest(
        problem=types_pb2.Problem(question=question),
        settings=types_pb2.SearchSettings(rollouts=8, seed=1),
    )
    with grpc.insecure_channel(os.environ["RSTAR_ADDRESS"]) as channel:
        stub = searcher_pb2_grpc.SearcherServiceStub(channel)
        try:
            result = stub.Solve(request, timeout=300).result
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    for step in result.solution:
        print(step.text)
        print("  printed:", step.output.strip() or "nothing")
    print("answer:", result.answer)


if __name__ == "__main__":
    main()
