"""gRPC for every server and client: one status table, one server component, one channel.

    InvalidInput      INVALID_ARGUMENT        Unavailable       UNAVAILABLE
    NotFound          NOT_FOUND               DeadlineExceeded  DEADLINE_EXCEEDED
    Overloaded        RESOURCE_EXHAUSTED      Cancelled         CANCELLED
    Conflict          ALREADY_EXISTS          Unauthenticated   UNAUTHENTICATED
    Forbidden         PERMISSION_DENIED       any other         INTERNAL

Every failed call carries a `rstar.v1.Failure` as rich status detail, so a client can
branch on `code`, point at `field` and wait `retry_after`. `Client` turns it back into
the same exception class.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rstar.v1 import types_pb2
from rstar_common.config import GrpcServerSettings, PeerSettings
from rstar_common.errors import (
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
from rstar_common.guard import Guard
from rstar_common.lifecycle import Component
from rstar_common.notify import notify_ready
from rstar_common.opening import Opener
from rstar_common.telemetry import timed_rpc
from rstar_common.tokens import Verifier
from rstar_common.tracing import SEARCH_ID_KEY, about, continued
from rstar_common.transport import (
    channel_credentials,
    client_keepalive,
    read_pem,
    server_credentials,
    server_keepalive,
)

if TYPE_CHECKING:
    ServicerContext = grpc.aio.ServicerContext[Any, Any]

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

STATUS_BY_ERROR: dict[type[RstarError], tuple[grpc.StatusCode, types_pb2.FailureCode.ValueType]] = {
    InvalidInput: (grpc.StatusCode.INVALID_ARGUMENT, types_pb2.FAILURE_CODE_INVALID_INPUT),
    NotFound: (grpc.StatusCode.NOT_FOUND, types_pb2.FAILURE_CODE_NOT_FOUND),
    Overloaded: (grpc.StatusCode.RESOURCE_EXHAUSTED, types_pb2.FAILURE_CODE_OVERLOADED),
    Unavailable: (grpc.StatusCode.UNAVAILABLE, types_pb2.FAILURE_CODE_UNAVAILABLE),
    DeadlineExceeded: (grpc.StatusCode.DEADLINE_EXCEEDED, types_pb2.FAILURE_CODE_DEADLINE),
    Cancelled: (grpc.StatusCode.CANCELLED, types_pb2.FAILURE_CODE_CANCELLED),
    Conflict: (grpc.StatusCode.ALREADY_EXISTS, types_pb2.FAILURE_CODE_CONFLICT),
    Unauthenticated: (
        grpc.StatusCode.UNAUTHENTICATED,
        types_pb2.FAILURE_CODE_UNAUTHENTICATED,
    ),
    Forbidden: (grpc.StatusCode.PERMISSION_DENIED, types_pb2.FAILURE_CODE_FORBIDDEN),
}
"""Also the order of the docstring's table."""

_INTERNAL = (grpc.StatusCode.INTERNAL, types_pb2.FAILURE_CODE_INTERNAL)

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 64 * 2**20),
    ("grpc.max_send_message_length", 64 * 2**20),
    # A peer that is back after a restart is found within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

TOO_LARGE = "essage larger than max"
"""In what gRPC itself says of a message above `_CHANNEL_OPTIONS`' limits."""

UNREAD_SECONDS = 86_400
"""How long a call may wait to be read by a busy server. gRPC's own limit of 30 s drops calls as
CANCELLED, without a word to either side; the caller's deadline is the limit that counts."""

MAX_UNREAD_CALLS = 1_000_000


def _status_of(error: BaseException) -> tuple[grpc.StatusCode, types_pb2.FailureCode.ValueType]:
    """Those of its class, or of the nearest one above."""
    kinds = cast("tuple[type[RstarError], ...]", type(error).__mro__)
    return next((STATUS_BY_ERROR[kind] for kind in kinds if kind in STATUS_BY_ERROR), _INTERNAL)


def failure_of(error: BaseException, *, service: str = "") -> types_pb2.Failure:
    """Describe an exception for the wire."""
    _, code = _status_of(error)
    known = isinstance(error, RstarError)
    failure = types_pb2.Failure(
        code=code,
        message=str(error) if known else f"internal error: {type(error).__name__}",
        field=error.field if isinstance(error, InvalidInput) else "",
        service=service,
    )
    if isinstance(error, Overloaded):
        failure.retry_after.FromMilliseconds(int(error.retry_after_seconds * 1000))
    return failure


def error_from(failure: types_pb2.Failure) -> RstarError:
    """The exception that `failure_of` described."""
    for cls, (_, code) in STATUS_BY_ERROR.items():
        if code == failure.code:
            if cls is Overloaded:
                seconds = failure.retry_after.ToMilliseconds() / 1000
                return Overloaded(failure.message, retry_after_seconds=seconds or 1.0)
            if cls is InvalidInput:
                error = InvalidInput(failure.message)
                error.field = failure.field
                return error
            return cls(failure.message)
    return Unavailable(failure.message)


def error_from_rpc(error: grpc.aio.AioRpcError) -> RstarError:
    """Translate what a call raised into our own tree: by its detail, else by its status."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(cast("bytes", value))
            for detail in status.details:
                failure = types_pb2.Failure()
                if detail.Unpack(failure):
                    return error_from(failure)
    if error.code() is grpc.StatusCode.CANCELLED:
        # Who cancels a call of his own gets CancelledError. This one was dropped unread, by a
        # server that was leaving.
        return Unavailable("the server left before it read the call")
    if TOO_LARGE in (error.details() or ""):
        # gRPC says this with the status of a full service, but it will never do.
        return InvalidInput(f"a message is too large: {error.details()}")
    for cls, (code, _) in STATUS_BY_ERROR.items():
        if code is error.code():
            return cls(error.details() or code.name)
    return Unavailable(f"{error.code().name}: {error.details()}")


@asynccontextmanager
async def serving(context: ServicerContext, method: str) -> AsyncGenerator[None]:
    """Time and trace a call; turn what it raises into a status with a `Failure` detail."""
    sent = {key: value for key, value in context.invocation_metadata() or () if type(value) is str}
    with (
        about(search_id=sent.get(SEARCH_ID_KEY, "")),
        continued(method, sent) as span,
        timed_rpc(method) as outcome,
    ):
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                outcome[0] = "CANCELLED"
                raise
            # Something this call waited for was cancelled, not the call: its caller must not
            # believe that it has left.
            logger.exception("stray cancellation while serving %s", method)
            outcome[0] = "UNAVAILABLE"
            span.fail(outcome[0])
            await abort(context, Unavailable("what the call waited for was cancelled"))
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            code, _ = _status_of(error)
            if code is grpc.StatusCode.INTERNAL:
                logger.exception("bug while serving %s", method)
            outcome[0] = code.name
            span.fail(code.name)
            await abort(context, error)


async def abort(context: ServicerContext, error: Exception) -> None:
    """End a call with the status of an error and its `Failure` as detail."""
    code, _ = _status_of(error)
    failure = failure_of(error)
    detail = any_pb2.Any()
    detail.Pack(failure)
    status = status_pb2.Status(code=code.value[0], message=failure.message, details=[detail])
    await context.abort(
        code,
        failure.message,
        trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
    )


class Readiness:
    """Whether a service can do its work now; its server's health check reports it."""

    def __init__(self, *, ready: bool = False) -> None:
        self._ready = ready
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """The present state."""
        return self._ready

    def set(self, ready: bool) -> None:
        """Change the state; called from the event loop."""
        self._ready = ready
        self._changed.set()

    async def changed(self) -> None:
        """Wait for the next change. For one waiter: the server."""
        await self._changed.wait()
        self._changed.clear()


def grpc_server(
    settings: GrpcServerSettings,
    register: Callable[[grpc.aio.Server], None],
    *,
    service_names: Sequence[str],
    on_listening: Callable[[int], None] | None = None,
    readiness: Readiness | None = None,
    unread_seconds: int = UNREAD_SECONDS,
) -> Component:
    """Build the component that serves what `register` adds, plus health and reflection.

    `service_names` are full names, e.g. `rstar.v1.PolicyService`, for health and reflection;
    `on_listening` is told the port once calls are accepted; health is SERVING from then on,
    or follows `readiness` where one is given.
    """
    readiness = readiness or Readiness(ready=True)

    async def run(stop: asyncio.Event) -> None:
        credentials = server_credentials(settings)
        guards = _guards(settings)
        options = [
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.so_reuseport", int(settings.shared_port or settings.replaces)),
            ("grpc.server_max_unrequested_time_in_server", unread_seconds),
            # Beyond 1,000 unread calls gRPC drops some by chance, as CANCELLED too.
            ("grpc.server.max_pending_requests", MAX_UNREAD_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_UNREAD_CALLS),
            *server_keepalive(),
        ]
        server = grpc.aio.server(options=options, interceptors=guards)
        register(server)
        status = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(status, server)
        reflection.enable_server_reflection(
            [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        if settings.replaces and not await _ready_before(stop, readiness):
            return
        try:
            port = (
                server.add_secure_port(settings.address, credentials)
                if credentials
                else server.add_insecure_port(settings.address)
            )
        except RuntimeError as error:
            raise InvalidInput(
                f"cannot listen on {settings.address}; is the port taken?", field="grpc.address"
            ) from error
        await server.start()
        logger.info("listening", extra={"port": port})
        if on_listening:
            on_listening(port)
        try:
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(_report_health(status, service_names, readiness))
                await stop.wait()
                reporter.cancel()
        finally:
            await status.enter_graceful_shutdown()
            await server.stop(settings.drain_seconds)

    return run


async def _report_health(
    status: health.aio.HealthServicer, service_names: Sequence[str], readiness: Readiness
) -> None:
    while True:
        state = (
            health_pb2.HealthCheckResponse.SERVING
            if readiness.ready
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", *service_names):
            await status.set(name, state)
        if readiness.ready:
            notify_ready()
        await readiness.changed()


async def _ready_before(stop: asyncio.Event, readiness: Readiness) -> bool:
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not (readiness.ready or stop.is_set()):
            change = asyncio.ensure_future(readiness.changed())
            await asyncio.wait({stopping, change}, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
    finally:
        stopping.cancel()
    return not stop.is_set()


def _guards(settings: GrpcServerSettings) -> list[grpc.aio.ServerInterceptor]:
    """From the outside in: who calls is asked first, what they say is read last."""
    if not settings.token_keys:
        return [Opener(abort)]
    keys = read_pem(settings.token_keys, field="grpc.token_keys")
    return [Guard(Verifier(keys), abort), Opener(abort)]


def channel(address: str, peers: PeerSettings | None = None) -> grpc.aio.Channel:
    """Open a channel to one service. `async with` closes it.

    Raises:
        InvalidInput: `peers` names a file that cannot be read, or a token that has no TLS.
    """
    credentials = channel_credentials(peers) if peers else None
    options = [*_CHANNEL_OPTIONS, *client_keepalive()]
    if credentials:
        return grpc.aio.secure_channel(address, credentials, options=options)
    return grpc.aio.insecure_channel(address, options=options)


async def call(rpc: Awaitable[ResultT]) -> ResultT:
    """Await a unary call, raising our own errors instead of gRPC's."""
    try:
        return await rpc
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


def remaining_seconds(context: ServicerContext, *, at_most: float) -> float:
    """Seconds we may still spend: the caller's deadline, capped by our own.

    Raises:
        DeadlineExceeded: nothing is left.
    """
    # The stubs say float, but a call without a deadline answers None.
    remaining = cast("float | None", context.time_remaining())
    if remaining is not None and remaining <= 0:
        raise DeadlineExceeded("the deadline had passed when the call arrived")
    return at_most if remaining is None else min(at_most, remaining)
