"""Everything `rstar status` shows: health, versions, memory, queue depth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nats.errors
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from nats.js.errors import APIError

from rstar.v1 import policy_pb2, policy_pb2_grpc, ppm_pb2, ppm_pb2_grpc, sandbox_pb2
from rstar.v1 import sandbox_pb2_grpc as sandbox_grpc
from rstar_cli.connection import nats_client
from rstar_cli.local.lock import holder, not_up
from rstar_cli.local.procfs import memory_bytes
from rstar_cli.local.stack import UnitView, views
from rstar_cli.local.state import StackState, load
from rstar_common.config import NatsSettings
from rstar_common.errors import RstarError, Unavailable
from rstar_common.rpc import call, channel
from rstar_common.streams import DEAD, WORK

_CALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A stack at one moment."""

    units: list[UnitView]
    info: Mapping[str, Mapping[str, Any]]
    """What policy, ppm and sandbox say of themselves."""

    memory: Mapping[str, int]
    """Proportional memory of each unit, children included, in bytes."""

    queue: Mapping[str, int]
    """Messages waiting (`work`) and dead (`dead`); empty when NATS does not answer."""

    @property
    def healthy(self) -> bool:
        """Whether every unit serves."""
        return all(unit.state == "serving" for unit in self.units)

    def to_json(self) -> dict[str, object]:
        """For scripts."""
        return {
            "healthy": self.healthy,
            "units": [
                {
                    **asdict(unit),
                    "memory_bytes": self.memory.get(unit.name, 0),
                    "info": dict(self.info.get(unit.name, {})),
                }
                for unit in self.units
            ],
            "memory_bytes": sum(self.memory.values()),
            "queue": dict(self.queue),
        }


async def survey(home: Path) -> Survey:
    """Look at the stack of `home`.

    Raises:
        Unavailable: it is not up.
    """
    state = load(home)
    pid = holder(home)
    if not state or not pid:
        raise Unavailable(not_up(home))
    units = await views(home, state, {})
    up = {unit.name for unit in units if unit.state == "serving"}
    info, queue = await asyncio.gather(_info(state, up), _queue(state.nats))
    roots = {unit.name: unit.pid for unit in units if unit.pid}
    memory = await asyncio.to_thread(memory_bytes, {**roots, "supervisor": pid})
    return Survey(units=units, info=info, memory=memory, queue=queue)


async def _info(state: StackState, up: set[str]) -> dict[str, Mapping[str, Any]]:
    async def policy() -> Message:
        async with channel(state.address("policy")) as wire:
            stub = policy_pb2_grpc.PolicyServiceStub(wire)
            request = policy_pb2.GetPolicyInfoRequest()
            return await call(stub.GetPolicyInfo(request, timeout=_CALL_SECONDS))

    async def ppm() -> Message:
        async with channel(state.address("ppm")) as wire:
            stub = ppm_pb2_grpc.PpmServiceStub(wire)
            return await call(stub.GetPpmInfo(ppm_pb2.GetPpmInfoRequest(), timeout=_CALL_SECONDS))

    async def sandbox() -> Message:
        async with channel(state.address("sandbox")) as wire:
            stub = sandbox_grpc.SandboxServiceStub(wire)
            request = sandbox_pb2.GetSandboxInfoRequest()
            return await call(stub.GetSandboxInfo(request, timeout=_CALL_SECONDS))

    questions = {"policy": policy, "ppm": ppm, "sandbox": sandbox}
    asked = {name: ask for name, ask in questions.items() if name in up}
    answers = await asyncio.gather(*(_told(ask) for ask in asked.values()))
    return dict(zip(asked, answers, strict=True))


async def _told(ask: Callable[[], Awaitable[Message]]) -> Mapping[str, Any]:
    try:
        return MessageToDict(await ask(), preserving_proto_field_name=True)
    except RstarError as error:
        return {"error": str(error)}


async def _queue(settings: NatsSettings) -> dict[str, int]:
    try:
        async with nats_client(settings) as client:
            jetstream = client.jetstream()
            return {
                name: (await jetstream.stream_info(stream)).state.messages
                for name, stream in (("work", WORK), ("dead", DEAD))
            }
    except (Unavailable, nats.errors.Error, APIError):  # or no service has made the streams yet
        return {}
