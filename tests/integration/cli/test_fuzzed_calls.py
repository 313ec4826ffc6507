"""Wrong calls of every kind to every method, over mutual TLS, each refused as it should be.

The small form of `python -m rstar_cli.fuzz`, which attacks the services themselves.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

import grpc
import pytest
from google.protobuf import message_factory

from rstar_cli.authority import Authority
from rstar_cli.fuzz.callers import CLIENT, THIEF, Callers
from rstar_cli.fuzz.calls import TIERS, Findings, Wires, call_wrongly, methods, wrong_calls
from rstar_cli.fuzz.system import peer
from rstar_common.config import GrpcServerSettings, PeerSettings
from rstar_common.rpc import channel, grpc_server

INPUTS = 2_000


def answer_everything(server):
    """Every method of the project, each reading its message and answering an empty one."""
    handlers = {}
    for method in methods():
        parse = message_factory.GetMessageClass(method.input_type).FromString
        empty = message_factory.GetMessageClass(method.output_type)()

        async def unary(request, context, empty=empty):
            return empty

        async def stream(request, context, empty=empty):
            yield empty

        async def upload(requests, context, empty=empty):
            try:
                async for _ in requests:
                    pass
            except Exception:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "as `serving` would")
            return empty

        kinds = {
            (False, False): (grpc.unary_unary_rpc_method_handler, unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, stream),
            (True, False): (grpc.stream_unary_rpc_method_handler, upload),
        }
        make, behaviour = kinds[method.client_streaming, method.server_streaming]
        service = handlers.setdefault(method.containing_service.full_name, {})
        service[method.name] = make(
            behaviour,
            request_deserializer=parse,
            response_serializer=lambda message: message.SerializeToString(),
        )
    for name, known in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, known),))


async def test_every_wrong_call_is_refused_by_its_name(tmp_path):
    authority = Authority.create(tmp_path / "ours")
    strangers = Authority.create(tmp_path / "theirs")
    for name in ("server", CLIENT, THIEF):
        authority.issue(name, ["127.0.0.1"], days=1)
    settings = GrpcServerSettings(
        drain_seconds=0,
        certificate=str(authority.path("server", "pem")),
        key=str(authority.path("server", "key")),
        client_ca=str(authority.path("ca", "pem")),
        token_keys=str(authority.path("tokens", "pub")),
    )
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    component = grpc_server(
        settings, answer_everything, service_names=[], on_listening=port.set_result
    )
    findings = Findings()
    async with asyncio.TaskGroup() as group:
        group.create_task(component(stop))
        address = f"127.0.0.1:{await port}"
        async with AsyncExitStack() as stack:
            wires = {}
            for name in (CLIENT, THIEF):
                wire = channel(address, peer(authority, name))
                await stack.enter_async_context(wire)
                wires |= {(name, tier): wire for tier in TIERS.values()}
            calls = wrong_calls(Callers(authority, strangers, Random(1)), Random(2))
            await call_wrongly(Wires(wires), calls, findings, inputs=INPUTS, at_once=16)
        without = PeerSettings(ca=str(authority.path("ca", "pem")))
        async with channel(address, without) as wire:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await wire.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        stop.set()
    assert findings.unexpected == []
    assert set(findings.inputs) == {
        *("unauthenticated", "wrongly scoped", "replayed", "malformed", "generated")
    }
    assert findings.inputs.total() == INPUTS
