"""What is done to a system in the middle of a wave; each returns when it was over.

killed, stopped    SIGKILL, SIGTERM; started again as a platform would
paused             SIGSTOP for longer than a lease, then SIGCONT
cut, silent, …     forgotten, slow: on every way to and from the unit; see `proxy`
full disk          no room for a while (NATS, the store)
ahead, behind      a searcher whose clock is ten minutes wrong is killed
swapped            the PPM takes another version; `swapped and killed`: only that is left
poison             bad problems among the good, and a message that is no batch
of another release it leaves and comes back from another checkout, works there for a while, and
                   comes back as it was: an upgrade in both directions beside the others
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rstar_cli.chaos.proxy import Proxy
from rstar_cli.chaos.skew import with_wrong_clock
from rstar_cli.chaos.system import SEARCHERS, System
from rstar_cli.chaos.tiers import TIERS, next_version, of_release

RESTART_SECONDS = 0.25
"""Between a program's end and its next start: the supervisor's first pause."""

SLOW_SECONDS = 0.2
WRONG_SECONDS = 600
"""S3 refuses whom it finds wrong by a quarter of an hour: such a searcher does not even start."""


Inject = Callable[[System, Random], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that happens."""

    name: str
    inject: Inject
    poison: bool = False
    needs: str = ""
    """What the machine must allow, as `System.missing` names it."""


def every_fault(system: System) -> list[Fault]:
    """All that this system can suffer, in a fixed order."""
    faults = [Fault(name="poison", inject=_nothing, poison=True)]
    targets = ["nats", "store", *(unit.name for unit in system.tiers.units), "a searcher"]
    for target in targets:
        faults += [
            Fault(name=f"{target} killed", inject=_killed(target)),
            Fault(name=f"{target} stopped", inject=_stopped(target)),
            Fault(name=f"{target} paused", inject=_paused(target)),
        ]
    for target in ("nats", "store", *TIERS, "a searcher"):
        faults += [
            Fault(name=f"{target} cut", inject=_network(target, Proxy.cut)),
            Fault(name=f"{target} silent", inject=_network(target, Proxy.silence)),
            Fault(name=f"{target} forgotten", inject=_forgotten(target)),
            Fault(name=f"{target} slow", inject=_network(target, _slowed)),
        ]
    faults += [
        Fault(name=f"{target} full disk", inject=_full(target), needs="full disk")
        for target in ("nats", "store")
    ]
    faults += [
        Fault(name="a searcher ahead", inject=_skewed(WRONG_SECONDS), needs="wrong clock"),
        Fault(name="a searcher behind", inject=_skewed(-WRONG_SECONDS), needs="wrong clock"),
        Fault(name="both searchers killed", inject=_all_killed),
    ]
    if system.tiers.swaps:
        faults += [
            Fault(name="ppm swapped", inject=_swapped),
            Fault(name="ppm swapped and killed", inject=_swapped_and_killed),
            Fault(name="ppm swapped, searchers killed", inject=_swapped_under_the_dead),
        ]
    if system.release:
        faults += [
            Fault(name=f"{target} of another release", inject=_of_release(target, system.release))
            for target in [*(name for name in TIERS if system.real(name)), "a searcher"]
        ]
    return faults


async def _nothing(system: System, rng: Random) -> float:
    return time.time()


def _chosen(target: str, rng: Random) -> str:
    return rng.choice(SEARCHERS) if target == "a searcher" else target


def _killed(target: str) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        unit = system.units[_chosen(target, rng)]
        await unit.kill()
        over = time.time()
        await asyncio.sleep(RESTART_SECONDS)
        await unit.begin()
        return over

    return inject


async def _all_killed(system: System, rng: Random) -> float:
    for name in SEARCHERS:
        await system.units[name].kill()
    over = time.time()
    async with asyncio.TaskGroup() as group:
        for name in SEARCHERS:
            group.create_task(system.units[name].begin())
    return over


def _stopped(target: str) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        unit = system.units[_chosen(target, rng)]
        await unit.terminate()
        over = time.time()
        await asyncio.sleep(RESTART_SECONDS)
        await unit.begin()
        return over

    return inject


def _paused(target: str) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        unit = system.units[_chosen(target, rng)]
        unit.freeze()
        try:
            await asyncio.sleep(system.held_seconds)
        finally:
            unit.thaw()
        return time.time()

    return inject


def _network(target: str, spoil: Callable[[Proxy], None]) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        links = system.links(_chosen(target, rng))
        for proxy in links:
            spoil(proxy)
        try:
            await asyncio.sleep(system.held_seconds)
        finally:
            for proxy in links:
                proxy.heal()
        return time.time()

    return inject


def _slowed(proxy: Proxy) -> None:
    proxy.slow(SLOW_SECONDS)


def _forgotten(target: str) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        for proxy in system.links(_chosen(target, rng)):
            proxy.forget()
        return time.time()

    return inject


def _full(target: str) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        assert system.disks is not None
        directory, unit = system.data(target), system.units[target]
        await asyncio.to_thread(system.disks.fill, directory)
        try:
            await asyncio.sleep(system.held_seconds)
        finally:
            system.disks.empty(directory)
        over = time.time()
        if target == "nats" or unit.died:
            # JetStream turns itself off for good when a write fails, and says so on its health
            # endpoint: a platform starts it again.
            await unit.terminate()
            await unit.begin()
        return over

    return inject


def _skewed(seconds: int) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        assert system.wrong_clock is not None
        wrong, other = (system.units[name] for name in rng.sample(SEARCHERS, 2))
        right = wrong.command
        other.freeze()  # so that all that is left falls to the one with the wrong clock
        try:
            await wrong.kill()
            await wrong.begin(with_wrong_clock(right, system.wrong_clock, seconds))
            await asyncio.sleep(system.held_seconds)
            await wrong.kill()
        finally:
            other.thaw()
        over = time.time()
        await wrong.begin(right)
        return over

    return inject


def _of_release(target: str, checkout: Path) -> Inject:
    async def inject(system: System, rng: Random) -> float:
        unit = system.units[_chosen(target, rng)]
        own = unit.command
        await unit.terminate()
        await unit.begin(of_release(own, checkout))
        await asyncio.sleep(system.held_seconds)
        await unit.terminate()
        over = time.time()
        await unit.begin(own)
        return over

    return inject


async def _swapped(system: System, rng: Random) -> float:
    unit = system.units["ppm"]
    unit.tell(signal.SIGUSR1)
    unit.command = next_version(unit.command)  # what it will come up with, should it die later
    return time.time()


async def _swapped_under_the_dead(system: System, rng: Random) -> float:
    await _swapped(system, rng)
    return await _all_killed(system, rng)


async def _swapped_and_killed(system: System, rng: Random) -> float:
    unit = system.units["ppm"]
    over = time.time()
    await unit.kill()
    await unit.begin(next_version(unit.command))
    return over
