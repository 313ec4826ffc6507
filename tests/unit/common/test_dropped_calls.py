"""A call that a leaving server dropped is made again; one that our code cancelled, or whose message
is too large, is not."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2

import rstar_client.errors
from rstar_common import errors, rpc


def failed(*, detail: bool) -> grpc.aio.AioRpcError:
    """As gRPC raises it: with our detail, or as its core ends a call that nobody read."""
    sent = []
    if detail:
        packed = any_pb2.Any()
        packed.Pack(rpc.failure_of(errors.Cancelled("the search was cancelled")))
        status = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], details=[packed])
        sent = [("grpc-status-details-bin", status.SerializeToString())]
    return grpc.aio.AioRpcError(
        grpc.StatusCode.CANCELLED,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*sent),
        details="the search was cancelled" if detail else "CANCELLED",
    )


BOTH = pytest.mark.parametrize(
    ("read", "kinds"),
    [(rpc.error_from_rpc, errors), (rstar_client.errors.error_of, rstar_client.errors)],
    ids=["services", "client"],
)


@BOTH
def test_a_dropped_call_is_unavailable_and_a_cancelled_one_is_cancelled(read, kinds):
    assert type(read(failed(detail=False))) is kinds.Unavailable
    assert type(read(failed(detail=True))) is kinds.Cancelled


@BOTH
@pytest.mark.parametrize(("received", "asked"), [(100, b""), (10_000, b"x" * 200)])
async def test_a_message_that_is_too_large_is_no_full_service(read, kinds, received, asked):
    async def answer(request: bytes, _context: object) -> bytes:
        return b"x" * 1000

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 100)])
    handler = grpc.method_handlers_generic_handler(
        "t.Test", {"Answer": grpc.unary_unary_rpc_method_handler(answer)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    limits = [("grpc.max_receive_message_length", received)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=limits) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/t.Test/Answer")(asked)
    await server.stop(None)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error = read(refused.value)
    assert type(error) is kinds.InvalidInput
    assert "too large" in str(error)
