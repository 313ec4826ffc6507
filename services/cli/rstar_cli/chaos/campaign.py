"""Wave after wave, a fault in each, until the time is over; then the account of all of them."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from rstar_cli.chaos.examination import examine
from rstar_cli.chaos.faults import Fault, every_fault
from rstar_cli.chaos.orphans import orphans
from rstar_cli.chaos.system import MakeTiers, System, system
from rstar_cli.chaos.waves import Account, Size, Wave
from rstar_common.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Of one fault, in seconds from its end."""

    first: float | None
    """Until the next result; None if the fault found none left to come."""

    last: float | None
    """Until the last result of its wave."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What has happened so far."""

    seed: int
    seconds: float = 0.0
    waves: int = 0
    submitted: int = 0
    results: int = 0
    dead_letters: int = 0
    expected_dead: int = 0
    lost: int = 0
    duplicated: int = 0
    trees_compared: int = 0
    trees_unlike: int = 0
    orphans: int = 0
    recoveries: dict[str, list[Recovery]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    troubles: list[str] = field(default_factory=list[str])
    """A line each: what was not as it must be, and in which wave."""

    versions: set[str] = field(default_factory=set[str])
    logs: str = ""
    """Directory of logs and data, where they were kept."""

    @property
    def passed(self) -> bool:
        """Whether every problem had exactly its one end, and nothing was left behind."""
        return not self.troubles and not (self.lost or self.duplicated or self.orphans)

    def add(self, wave: str, account: Account, stray: Sequence[str]) -> None:
        """Take a wave's account in."""
        self.waves += 1
        self.submitted += account.submitted
        self.results += account.results
        self.dead_letters += account.dead_letters
        self.expected_dead += account.expected_dead
        self.lost += len(account.lost)
        self.duplicated += account.duplicated
        self.orphans += len(stray)
        self.versions |= account.versions
        self.troubles += [f"{wave}: {problem}: no result" for problem in account.lost]
        self.troubles += [f"{wave}: {line}" for line in account.wrong]
        self.troubles += [f"{wave}: orphan: {line}" for line in stray]

    def report(self) -> dict[str, object]:
        """For the JSON line."""
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "waves": self.waves,
            "faults": sum(map(len, self.recoveries.values())),
            "problems": self.submitted,
            "results": self.results,
            "dead_letters": self.dead_letters,
            "bad_problems": self.expected_dead,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "trees_compared": self.trees_compared,
            "trees_unlike_undisturbed": self.trees_unlike,
            "ppm_versions": len(self.versions),
            "orphans": self.orphans,
            "skipped": self.skipped,
            "logs": self.logs,
            "troubles": self.troubles,
            "recovery_seconds": {
                name: {
                    "times": len(of),
                    "next_result": _spread([r.first for r in of]),
                    "whole_wave": _spread([r.last for r in of]),
                }
                for name, of in sorted(self.recoveries.items())
            },
        }


async def run_campaign(
    make_tiers: MakeTiers,
    *,
    seconds: float,
    seed: int,
    size: Size,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
    keep: Path | None = None,
    release: Path | None = None,
) -> Campaign:
    """Build a system and spoil it; see `spoil`. `keep`: its logs and data stay there.

    Without `keep` they stay where something went wrong, and are removed where nothing did.
    SIGTERM, or the first SIGINT, ends it after the wave that is under way.

    Raises:
        Unavailable: the system cannot be started, or a program of it cannot be started again.
    """
    stop = _asked_to_stop(tell)
    directory = keep or Path(tempfile.mkdtemp(prefix="rstar-chaos-"))
    passed = False
    try:
        async with system(directory, make_tiers, minutes=seconds / 60, release=release) as built:
            campaign = await spoil(
                built, seconds=seconds, seed=seed, size=size, stop=stop, only=only, tell=tell
            )
        passed = campaign.passed
        campaign.logs = "" if passed and not keep else str(directory)
    finally:
        if passed and not keep:
            shutil.rmtree(directory)
        else:
            tell(f"logs and data: {directory}")
    return campaign


def _asked_to_stop(tell: Callable[[str], None]) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def ask() -> None:
        tell("ends after this wave; again: at once")
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return stop


async def spoil(
    built: System,
    *,
    seconds: float,
    seed: int,
    size: Size,
    stop: asyncio.Event,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Campaign:
    """Spoil wave after wave for so long or until `stop`, the last to its end.

    With 0 seconds every fault happens once. A problem without its end is the last wave's: what
    holds it up would hold up all that follow.

    Raises:
        InvalidInput: there is no such fault.
    """
    rng, campaign = Random(seed), Campaign(seed=seed)
    faults = _chosen(built, only, campaign)
    began = time.monotonic()
    undisturbed = await _wave(built, "undisturbed", size, campaign)
    ended = bool(undisturbed.lost)
    order: list[Fault] = []
    while faults and not ended and not stop.is_set():
        if not order:
            if campaign.recoveries and time.monotonic() - began >= seconds:
                break
            order = rng.sample(faults, len(faults))
        if seconds and time.monotonic() - began >= seconds:
            break
        fault = order.pop()
        name = f"{campaign.waves} {fault.name}".replace(" ", "-").replace(",", "")
        known = len(campaign.troubles)
        account = await _spoiled(built, name, size, fault, rng, campaign)
        _compare(built, name, undisturbed, account, campaign)
        tell(_line(fault, account, campaign))
        for trouble in campaign.troubles[known:]:
            tell(f"  {trouble}")
        ended = bool(account.lost)
    if ended:
        await examine(built, tell)
    campaign.seconds = time.monotonic() - began
    return campaign


async def _spoiled(
    built: System, name: str, size: Size, fault: Fault, rng: Random, campaign: Campaign
) -> Account:
    wave = Wave(built, name, size, poison=fault.poison)
    await wave.publish()
    over = await fault.inject(built, rng) if await wave.under_way() else time.time()
    account = await _accounted(built, wave, campaign)
    after = sorted(at - over for at in account.finished if at > over)
    campaign.recoveries[fault.name].append(
        Recovery(first=after[0] if after else None, last=after[-1] if after else None)
    )
    return account


async def _wave(built: System, name: str, size: Size, campaign: Campaign) -> Account:
    wave = Wave(built, name, size)
    await wave.publish()
    return await _accounted(built, wave, campaign)


async def _accounted(built: System, wave: Wave, campaign: Campaign) -> Account:
    await wave.ended()
    account = await wave.account()
    died = [f"{unit.name} died by itself" for unit in built.units.values() if unit.died]
    campaign.add(wave.name, account, await orphans(built))
    campaign.troubles += [f"{wave.name}: {line}" for line in died]
    for unit in built.units.values():
        if unit.died:
            await unit.begin()
    return account


def _compare(
    built: System, name: str, undisturbed: Account, account: Account, campaign: Campaign
) -> None:
    if not built.tiers.same_trees:
        return
    for problem, digest in account.trees.items():
        campaign.trees_compared += 1
        if digest != undisturbed.trees.get(problem):
            campaign.trees_unlike += 1
            campaign.troubles.append(f"{name}: {problem}: another tree than undisturbed")


def _chosen(built: System, only: Sequence[str], campaign: Campaign) -> list[Fault]:
    faults = every_fault(built)
    unknown = set(only) - {fault.name for fault in faults}
    if unknown:
        raise InvalidInput(
            f"no fault {sorted(unknown)}; there are: " + ", ".join(fault.name for fault in faults),
            field="--fault",
        )
    wanted = [fault for fault in faults if not only or fault.name in only]
    for fault in wanted:
        if fault.needs in built.missing:
            campaign.skipped[fault.name] = built.missing[fault.needs]
    return [fault for fault in wanted if fault.name not in campaign.skipped]


def _line(fault: Fault, account: Account, campaign: Campaign) -> str:
    recovery = campaign.recoveries[fault.name][-1]
    first = "none left" if recovery.first is None else f"{recovery.first:.1f} s"
    last = "" if recovery.last is None else f", whole wave {recovery.last:.1f} s"
    ends = f"{account.results} results, {account.dead_letters} dead letters"
    return f"{fault.name}: {ends}; next result {first}{last}"


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": round(median(known), 2), "worst": round(max(known), 2)}
