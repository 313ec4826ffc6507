"""A client of rStar-Math: solve, follow, submit batches, from Python.

    from rstar_client import AsyncClient, Client, Settings

    with Client("127.0.0.1:7105") as client:
        print(client.solve("Solve 3*x + 4 = 19 for x.", Settings(rollouts=16)).answer)

Needs grpcio, protobuf and the generated stubs; `nats-py` only to submit batches.
"""

from rstar_client.client import AsyncClient
from rstar_client.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    RstarError,
    Unauthenticated,
    Unavailable,
)
from rstar_client.identity import credentials
from rstar_client.retry import RetryPolicy
from rstar_client.sync import Client
from rstar_client.values import (
    Batch,
    BatchResult,
    Cost,
    Event,
    Expanded,
    Finished,
    Problem,
    Result,
    RolloutEnded,
    SearchState,
    Settings,
    Started,
    Step,
    Trajectory,
)

__all__ = [
    "AsyncClient",
    "Batch",
    "BatchResult",
    "Cancelled",
    "Client",
    "Conflict",
    "Cost",
    "DeadlineExceeded",
    "Event",
    "Expanded",
    "Finished",
    "Forbidden",
    "InvalidInput",
    "NotFound",
    "Overloaded",
    "Problem",
    "Result",
    "RetryPolicy",
    "RolloutEnded",
    "RstarError",
    "SearchState",
    "Settings",
    "Started",
    "Step",
    "Trajectory",
    "Unauthenticated",
    "Unavailable",
    "credentials",
]
