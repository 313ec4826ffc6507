"""A call that a leaving server dropped is made again; one that our code cancelled is not."""

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


@pytest.mark.parametrize(
    ("read", "kinds"),
    [(rpc.error_from_rpc, errors), (rstar_client.errors.error_of, rstar_client.errors)],
    ids=["services", "client"],
)
def test_a_dropped_call_is_unavailable_and_a_cancelled_one_is_cancelled(read, kinds):
    assert type(read(failed(detail=False))) is kinds.Unavailable
    assert type(read(failed(detail=True))) is kinds.Cancelled
