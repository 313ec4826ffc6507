"""Asks every call for its token before any of our code sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import grpc
from prometheus_client import Counter

from rstar_common.errors import Forbidden, RstarError, Unauthenticated
from rstar_common.tokens import OPEN_SERVICES, Caller, Verifier

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

REFUSED = Counter("rstar_rpc_denied_total", "Calls without the right to be made.", ["why"])

_CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)

Abort = Callable[["Context", RstarError], Awaitable[None]]


def present_caller() -> Caller | None:
    """Who makes the call that is being served; None where no tokens are asked for."""
    return _CALLER.get()


class Guard(grpc.aio.ServerInterceptor):
    """Lets a call through if its token names a scope that the method accepts."""

    def __init__(self, verifier: Verifier, abort: Abort) -> None:
        self._verifier = verifier
        self._abort = abort

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the method's handler, whatever its kind."""
        method = handler_call_details.method.removeprefix("/")
        handler = await continuation(handler_call_details)
        if handler is None or method.partition("/")[0] in OPEN_SERVICES:
            return handler
        inner = cast("Any", handler)
        coders = {
            "request_deserializer": inner.request_deserializer,
            "response_serializer": inner.response_serializer,
        }
        if inner.response_streaming:
            behaviour = inner.stream_stream or inner.unary_stream

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                await self._check(method, context)
                async for response in behaviour(request, context):
                    yield response

            make = (
                grpc.stream_stream_rpc_method_handler
                if inner.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(cast("Any", stream), **coders)
        answer = inner.stream_unary or inner.unary_unary

        async def unary(request: Any, context: Context) -> Any:
            await self._check(method, context)
            return await answer(request, context)

        make_unary = (
            grpc.stream_unary_rpc_method_handler
            if inner.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make_unary(cast("Any", unary), **coders)

    async def _check(self, method: str, context: Context) -> None:
        headers = dict(context.invocation_metadata() or ())
        shown = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
        try:
            caller = self._verifier.caller(
                str(headers.get("authorization", "")), certificate_pem=shown
            )
            caller.check(method)
            _CALLER.set(caller)  # each call is served in a context of its own
        except (Unauthenticated, Forbidden) as error:
            REFUSED.labels(type(error).__name__).inc()
            await self._abort(context, error)
