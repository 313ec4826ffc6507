"""Start, watch and end a one-machine stack from the outside, through its supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rstar_cli.local.lock import copying, holder
from rstar_cli.local.ports import until_open
from rstar_cli.local.process import tail
from rstar_cli.local.procfs import end_marked
from rstar_cli.local.state import StackOptions, StackState, create, load
from rstar_common.errors import Conflict, Unavailable

START_SECONDS = 300.0
"""Longest `up` waits; a cold SGLang on two busy cores takes most of a minute."""

STOP_SECONDS = 120.0
FAILED_RESTARTS = 4
"""A unit that exited this often while starting will not come up by itself."""

_POLL_SECONDS = 0.25
_CHECK_SECONDS = 2.0
_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitView:
    """One program of the stack, as shown to people."""

    name: str
    state: str
    """serving, starting, restarting, misconfigured or stopped."""

    address: str
    pid: int
    restarts: int
    seconds: float
    """Since it was started; for a unit that came up, how long that took."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A stack that is to come up."""

    state: StackState
    supervisor: subprocess.Popen[bytes] | None
    """Started by us, a moment before it has its lock; None if the stack ran already."""

    def has_ended(self, home: Path) -> bool:
        """Whether nobody brings it up any more. Ours may have found that another one does."""
        gone = self.supervisor is None or self.supervisor.poll() is not None
        return gone and holder(home) is None


def launch(home: Path, options: StackOptions) -> Launched:
    """Start a supervisor for `home`; it goes on when we end.

    Raises:
        Conflict: one runs already, with other options; or a backup or a restore does.
    """
    if reason := copying(home):
        raise Conflict(reason)
    if holder(home):
        state = load(home)
        assert state is not None
        if state.options != options:
            raise Conflict(f"a stack with other options runs in {home}; first: rstar down")
        return Launched(state, None)
    state = create(home, options)
    (home / "logs").mkdir(exist_ok=True)
    (home / "supervisor.json").unlink(missing_ok=True)
    with (home / "logs" / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "rstar_cli.local.supervisor", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=home,
        )
    return Launched(state, supervisor)


async def stop_stack(home: Path, supervisor: subprocess.Popen[bytes] | None = None) -> bool:
    """End the stack of `home` and whatever a killed supervisor left; False if nothing ran.

    `supervisor` is one that may not have come so far as to hold the lock.

    Raises:
        Conflict: a backup or a restore runs, whose servers are those of this stack.
    """
    if reason := copying(home):
        raise Conflict(reason)
    state = load(home)
    pid = holder(home)
    if not pid and supervisor and supervisor.poll() is None:
        pid = supervisor.pid
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while holder(home):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                break
            # It is not our child, so nobody tells us when it ends.
            await asyncio.sleep(_POLL_SECONDS)
    left = await end_marked(state.stack_id) if state else 0
    return bool(pid or left)


def reports(home: Path) -> Mapping[str, Mapping[str, Any]]:
    """What the supervisor says of each unit; empty before it has begun."""
    try:
        found: Mapping[str, Mapping[str, Any]] = json.loads((home / "supervisor.json").read_text())[
            "units"
        ]
    except (FileNotFoundError, ValueError):
        return {}
    return found


async def views(home: Path, state: StackState, known: Mapping[str, UnitView]) -> list[UnitView]:
    """Look at every unit now; one known to serve under the same pid is not asked again."""
    told = reports(home)

    async def view(name: str) -> UnitView:
        report = told.get(name, {})
        pid = report.get("pid", 0)
        before = known.get(name)
        if before and before.state == "serving" and before.pid == pid:
            return before
        address = state.address(name) if name in state.ports else ""
        unit_state = report.get("state", "waiting")
        if unit_state == "running":
            unit_state = "serving" if await serving(name, address) else "starting"
        return UnitView(
            name=name,
            state=unit_state,
            address=address,
            pid=pid,
            restarts=report.get("restarts", 0),
            seconds=max(0.0, time.time() - report["since"]) if report else 0.0,
        )

    return list(await asyncio.gather(*(view(name) for name in ("nats", "s3", *state.services))))


async def serving(name: str, address: str) -> bool:
    """Whether a unit answers: gRPC health for our services, a connection for the others."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            if name in ("nats", "s3"):
                await until_open(int(address.rpartition(":")[2]))
                return True
            async with grpc.aio.insecure_channel(address) as channel:
                # The published stubs know only the blocking flavour.
                health: Any = health_pb2_grpc.HealthStub(channel)
                reply = await health.Check(health_pb2.HealthCheckRequest())
    except (TimeoutError, grpc.aio.AioRpcError):
        return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_serving(
    home: Path,
    launched: Launched,
    *,
    seconds: float = START_SECONDS,
    on_change: Callable[[list[UnitView]], None] = lambda units: None,
) -> list[UnitView]:
    """Return once every unit serves.

    Raises:
        Unavailable: one cannot, or not in time; holds the end of its log.
    """
    deadline = time.monotonic() + seconds
    current: dict[str, UnitView] = {}
    while True:
        units = await views(home, launched.state, current)
        on_change(units)
        current = {unit.name: unit for unit in units}
        waiting = [unit for unit in units if unit.state != "serving"]
        if not waiting:
            return units
        for unit in waiting:
            if unit.state == "misconfigured" or unit.restarts >= FAILED_RESTARTS:
                raise Unavailable(_complaint(home, unit.name, "does not start"))
        if launched.has_ended(home):
            raise Unavailable(_complaint(home, "supervisor", "has ended"))
        if time.monotonic() > deadline:
            late = f"is not up after {seconds:.0f} s"
            raise Unavailable(_complaint(home, waiting[0].name, late))
        # Several processes come up at once; health has no event that spans a restart.
        await asyncio.sleep(_POLL_SECONDS)


def _complaint(home: Path, name: str, what: str) -> str:
    log = home / "logs" / f"{name}.log"
    lines = "\n".join(f"    {line}" for line in tail(log, lines=_LOG_LINES))
    return f"{name} {what}; the end of {log}:\n{lines}"
