"""Every error a service raises on purpose.

    RstarError
    ├── InvalidInput        the caller is wrong; retrying cannot help
    ├── NotFound            no such search, batch, job or version
    ├── Overloaded          we are full; retry the same call later
    ├── Unavailable         a dependency is down; retry, perhaps elsewhere
    ├── DeadlineExceeded    the caller's time is up
    ├── Cancelled           the caller asked to end this
    ├── Conflict            somebody else already did this; usually success
    ├── Unauthenticated     we do not know who calls
    └── Forbidden           we do, and they may not

Callers branch on the class, never on the message. `rpc` maps each class to a
gRPC status and `bus` maps it to ack, nak or dead letter, so the two transports
agree on what a failure means.
"""

from __future__ import annotations


class RstarError(Exception):
    """Base of the errors raised deliberately by this project."""


class InvalidInput(RstarError):
    """The request or event can never succeed as written; `field` names the culprit."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class NotFound(RstarError):
    """What was asked for does not exist, or no longer."""


class Overloaded(RstarError):
    """Admission was refused; `retry_after_seconds` is a hint."""

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(RstarError):
    """Something we depend on did not answer in time."""


class DeadlineExceeded(RstarError):
    """The caller's deadline passed."""


class Cancelled(RstarError):
    """The caller asked to end this."""


class Conflict(RstarError):
    """The effect already exists."""


class Unauthenticated(RstarError):
    """The call carries no token, or one that proves nothing."""


class Forbidden(RstarError):
    """The caller's token lacks the scope of this call."""


def first_leaf(error: BaseException) -> BaseException:
    """The first error of a group, however deep; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
