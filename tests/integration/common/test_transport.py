"""Calls over TLS with certificates and tokens, on a real server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr

from rstar.v1 import searcher_pb2, searcher_pb2_grpc, types_pb2
from rstar_cli.authority import Authority
from rstar_common.config import GrpcServerSettings, PeerSettings
from rstar_common.errors import Forbidden, InvalidInput, Unauthenticated, Unavailable
from rstar_common.rpc import call, channel, grpc_server

NAME = "rstar.v1.SearcherService"


class Searcher(searcher_pb2_grpc.SearcherServiceServicer):
    """Answers what is asked, to whoever gets this far."""

    async def Solve(self, request, context):
        return searcher_pb2.SolveResponse()

    async def SolveStream(self, request, context):
        for sequence in (1, 2):
            yield searcher_pb2.SearchEvent(sequence=sequence)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority.create(tmp_path_factory.mktemp("transport"))
    for name in ("server", "laptop", "thief"):
        made.issue(name, ["127.0.0.1", "localhost"], days=1)
    return made


@asynccontextmanager
async def server(**settings):
    """A server on a free port; yields its address."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    component = grpc_server(
        GrpcServerSettings(drain_seconds=0, **settings),
        lambda s: searcher_pb2_grpc.add_SearcherServiceServicer_to_server(Searcher(), s),
        service_names=[NAME],
        on_listening=port.set_result,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(component(stop))
        yield f"127.0.0.1:{await port}"
        stop.set()


def secured(authority, *, mutual=True, tokens=True):
    return {
        "certificate": str(authority.path("server", "pem")),
        "key": str(authority.path("server", "key")),
        "client_ca": str(authority.path("ca", "pem")) if mutual else "",
        "token_keys": str(authority.path("tokens", "pub")) if tokens else "",
    }


def peer(authority, name="laptop", token=""):
    return PeerSettings(
        ca=str(authority.path("ca", "pem")),
        certificate=str(authority.path(name, "pem")),
        key=str(authority.path(name, "key")),
        token=SecretStr(token),
    )


async def solve(address, peers=None):
    async with channel(address, peers) as wire:
        stub = searcher_pb2_grpc.SearcherServiceStub(wire)
        return await call(stub.Solve(searcher_pb2.SolveRequest(), timeout=10))


async def test_a_caller_with_certificate_and_scope_is_served(authority):
    async with server(**secured(authority)) as address:
        peers = peer(authority, token=authority.token("team-a", ["solve"], seconds=60))
        await solve(address, peers)
        async with channel(address, peers) as wire:
            stub = searcher_pb2_grpc.SearcherServiceStub(wire)
            events = [event async for event in stub.SolveStream(searcher_pb2.SolveRequest())]
        assert [event.sequence for event in events] == [1, 2]


async def test_a_call_without_token_or_scope_is_refused_with_a_typed_failure(authority):
    async with server(**secured(authority)) as address:
        with pytest.raises(Unauthenticated, match="no bearer token"):
            await solve(address, peer(authority))
        train = peer(authority, token=authority.token("team-b", ["train"], seconds=60))
        with pytest.raises(Forbidden, match="needs scope admin or solve"):
            await solve(address, train)
        async with channel(address, train) as wire:
            stub = searcher_pb2_grpc.SearcherServiceStub(wire)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                [event async for event in stub.SolveStream(searcher_pb2.SolveRequest())]
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stolen_token_is_of_no_use_beside_another_certificate(authority):
    async with server(**secured(authority)) as address:
        token = authority.token("laptop", ["solve"], seconds=60, bound_to="laptop")
        await solve(address, peer(authority, "laptop", token))
        with pytest.raises(Unauthenticated, match="another certificate"):
            await solve(address, peer(authority, "thief", token))


async def test_without_a_certificate_of_the_authority_there_is_no_connection(authority, tmp_path):
    stranger = Authority.create(tmp_path)
    stranger.issue("laptop", ["127.0.0.1"], days=1)
    token = authority.token("team-a", ["solve"], seconds=60)
    strange = peer(stranger, token=token).model_copy(update={"ca": peer(authority).ca})
    async with server(**secured(authority)) as address:
        for peers in (None, PeerSettings(ca=peer(authority).ca), strange):
            with pytest.raises(Unavailable):
                await solve(address, peers)


async def test_probes_need_no_token_and_reflection_does(authority):
    async with server(**secured(authority, mutual=False)) as address:
        async with channel(address, PeerSettings(ca=peer(authority).ca)) as wire:
            probe = health_pb2_grpc.HealthStub(wire)
            answer = await probe.Check(health_pb2.HealthCheckRequest(service=NAME))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_pb2_grpc.ServerReflectionStub(wire)
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                [_ async for _ in stub.ServerReflectionInfo(iter([ask]))]
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
        assert types_pb2.Failure.DESCRIPTOR.full_name.encode() in details


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"address": "0.0.0.0:0"}, "grpc.address"),
        ({"certificate": "/nowhere.pem", "key": "/nowhere.key"}, "grpc.certificate"),
        ({"client_ca": "/nowhere.pem"}, "grpc.client_ca"),
        ({"token_keys": "/nowhere.pub"}, "grpc.token_keys"),
    ],
)
async def test_a_server_that_cannot_be_as_safe_as_told_does_not_start(settings, field):
    component = grpc_server(GrpcServerSettings(**settings), lambda s: None, service_names=[NAME])
    with pytest.raises(InvalidInput) as refused:
        await component(asyncio.Event())
    assert refused.value.field == field


async def test_beyond_loopback_plainly_only_when_it_is_meant():
    async with server(address="0.0.0.0:0", plaintext=True) as address:
        await solve(address)


def test_a_token_never_travels_in_the_clear():
    with pytest.raises(InvalidInput, match=r"peers\.token"):
        channel("127.0.0.1:1", PeerSettings(token=SecretStr("secret")))
