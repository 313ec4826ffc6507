"""Opens a request only when its caller has been let in, and refuses one that cannot be read.

gRPC parses requests before it asks anybody; then a stranger's bytes reach the parser, and
bytes that are no message end as INTERNAL, which should mean a bug of ours. Here they stay
bytes until the guard has seen the token, and are INVALID_ARGUMENT if they are not a message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf.message import DecodeError
from prometheus_client import Counter

from rstar_common.errors import InvalidInput, RstarError

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

UNREADABLE = Counter("rstar_rpc_unreadable_total", "Requests that are no message of their method.")

Abort = Callable[["Context", RstarError], Awaitable[None]]


class Opener(grpc.aio.ServerInterceptor):
    """The innermost interceptor: turns bytes into the message that the method wants."""

    def __init__(self, abort: Abort) -> None:
        self._abort = abort

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Take gRPC's parsing over, whatever the method's kind."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        inner = cast("Any", handler)
        parse = inner.request_deserializer
        if parse is None:
            return handler
        coders = {"request_deserializer": None, "response_serializer": inner.response_serializer}
        if inner.request_streaming and inner.response_streaming:

            async def streams(requests: Any, context: Context) -> AsyncIterator[Any]:
                async for response in inner.stream_stream(_opened(requests, parse), context):
                    yield response

            return grpc.stream_stream_rpc_method_handler(cast("Any", streams), **coders)
        if inner.request_streaming:

            async def upload(requests: Any, context: Context) -> Any:
                return await inner.stream_unary(_opened(requests, parse), context)

            return grpc.stream_unary_rpc_method_handler(cast("Any", upload), **coders)
        if inner.response_streaming:

            async def download(request: bytes, context: Context) -> AsyncIterator[Any]:
                opened = await self._open(request, parse, context)
                async for response in inner.unary_stream(opened, context):
                    yield response

            return grpc.unary_stream_rpc_method_handler(cast("Any", download), **coders)

        async def single(request: bytes, context: Context) -> Any:
            opened = await self._open(request, parse, context)
            return await inner.unary_unary(opened, context)

        return grpc.unary_unary_rpc_method_handler(cast("Any", single), **coders)

    async def _open(self, request: bytes, parse: Callable[[bytes], Any], context: Context) -> Any:
        try:
            return _parsed(request, parse)
        except InvalidInput as error:
            await self._abort(context, error)


async def _opened(
    requests: AsyncIterator[bytes], parse: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parsed(request, parse)


def _parsed(request: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(request)
    except (DecodeError, UnicodeDecodeError) as error:
        UNREADABLE.inc()
        raise InvalidInput("not a message of this method", field="request") from error
