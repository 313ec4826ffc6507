"""Solve one problem with the client package: retries, typed events and errors.

eval "$(rstar env)"            # sets RSTAR_ADDRESS
python examples/python/client_solve.py "Solve 3*x + 4 = 19 for x."
"""

import os
import sys

from rstar_client import Client, Expanded, Finished, RolloutEnded, RstarError, Settings


def main() -> None:
    """Ask, and print every event."""
    question = sys.argv[1] if len(sys.argv) > 1 else "Solve 3*x + 4 = 19 for x."
    with Client(os.environ["RSTAR_ADDRESS"]) as client:
        try:
            events = client.solve_stream(question, Settings(rollouts=8, seed=1))
            for event in events:
                match event:
                    case Expanded():
                        print(f"node {event.parent}: {event.children} steps")
                    case RolloutEnded():
                        print(f"rollout {event.rollouts_done}: {event.best_answer}")
                    case Finished():
                        print("answer:", event.result.answer)
        except RstarError as error:
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
