"""What a call can raise; branch on the class, never on the text.

    RstarError
    ├── InvalidInput        the request can never succeed; `field` names the culprit
    ├── NotFound            no such search, batch or dead letter
    ├── Overloaded          the service is full, and was still full after the retries
    ├── Unavailable         nobody answered, or not within the retries
    ├── DeadlineExceeded    the time given to the call has passed
    ├── Cancelled           somebody cancelled the call
    ├── Conflict            the effect exists already, or a key was used for something else
    ├── Unauthenticated     the service does not know who calls
    └── Forbidden           it does, and this caller may not

A tree of the client's own, so that it needs nothing of the services; a test holds the two
alike.
"""

from __future__ import annotations

from typing import cast

import grpc
from google.rpc import status_pb2

from rstar.v1 import types_pb2


class RstarError(Exception):
    """Base of everything the client raises on purpose."""


class InvalidInput(RstarError):
    """The request can never succeed as written."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFound(RstarError):
    """What was asked for does not exist, or no longer."""


class Overloaded(RstarError):
    """The service is full; `retry_after_seconds` is its hint."""

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(RstarError):
    """A service did not answer."""


class DeadlineExceeded(RstarError):
    """The time given to the call has passed."""


class Cancelled(RstarError):
    """Somebody cancelled the call."""


class Conflict(RstarError):
    """The effect exists already, or its key was used for something else."""


class Unauthenticated(RstarError):
    """The service does not know who calls."""


class Forbidden(RstarError):
    """The service knows who calls, and this caller may not."""


BY_CODE: dict[types_pb2.FailureCode.ValueType, type[RstarError]] = {
    types_pb2.FAILURE_CODE_INVALID_INPUT: InvalidInput,
    types_pb2.FAILURE_CODE_NOT_FOUND: NotFound,
    types_pb2.FAILURE_CODE_OVERLOADED: Overloaded,
    types_pb2.FAILURE_CODE_UNAVAILABLE: Unavailable,
    types_pb2.FAILURE_CODE_DEADLINE: DeadlineExceeded,
    types_pb2.FAILURE_CODE_CANCELLED: Cancelled,
    types_pb2.FAILURE_CODE_CONFLICT: Conflict,
    types_pb2.FAILURE_CODE_UNAUTHENTICATED: Unauthenticated,
    types_pb2.FAILURE_CODE_FORBIDDEN: Forbidden,
}

_BY_STATUS: dict[grpc.StatusCode, type[RstarError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    # Without our detail: a server that was leaving dropped it unread. Who cancels a call of his
    # own gets CancelledError.
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
}


def error_of(error: grpc.aio.AioRpcError) -> RstarError:
    """What a failed call means: by its `Failure` detail, else by its status."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(cast("bytes", value)).details:
                failure = types_pb2.Failure()
                if detail.Unpack(failure):
                    return from_failure(failure)
    if "essage larger than max" in (error.details() or ""):
        # gRPC's own, with the status of a full service; to be sent again it is too large as well.
        return InvalidInput(f"a message is too large: {error.details()}")
    kind = _BY_STATUS.get(error.code(), RstarError)
    return kind(error.details() or error.code().name)


def from_failure(failure: types_pb2.Failure) -> RstarError:
    """The exception that a failure on the wire stands for."""
    kind = BY_CODE.get(failure.code, RstarError)
    if kind is Overloaded:
        seconds = failure.retry_after.ToMilliseconds() / 1000
        return Overloaded(failure.message, retry_after_seconds=seconds or 1.0)
    if kind is InvalidInput:
        return InvalidInput(failure.message, field=failure.field)
    return kind(failure.message)
