"""The capacity model: arithmetic over what a problem costs and what a replica gives.

Every tier is a shop with a service rate, used to at most a given share of it:

    units = ceil(problems a second x work of a problem / rate of a unit / utilisation)

and searches at once = problems a second x seconds of a search (Little's law), which searchers
have places for. Refusals, retries and the tails of small systems are not in it: that is what the
utilisation is for.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any

from rstar_common.errors import InvalidInput

PROFILES = "profiles.toml"
SEARCHER_PLACES = 64
"""Queued problems that one searcher searches at once in the larger deployments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a problem costs and what a replica gives; `profiles.toml` says where from."""

    summary: str
    measured: str
    assumed: str
    expansions_per_problem: float
    candidates: int
    tokens_per_candidate: float
    seconds_per_problem: float
    """Of one search, where nothing it needs is short."""

    policy_tokens_per_second: float
    policy_gpus: int
    policy_cores: int
    ppm_scores_per_second: float
    ppm_gpus: int
    ppm_cores: int
    sandbox_seconds_per_run: float
    """Of one core."""

    searcher_cpu_seconds_per_expansion: float
    searcher_cpu_seconds_per_problem: float
    tree_kilobytes: float

    @property
    def steps(self) -> float:
        """Candidates of a problem: each is run and scored once."""
        return self.expansions_per_problem * self.candidates

    @property
    def searcher_cpu_seconds(self) -> float:
        """Of a problem."""
        expansions = self.expansions_per_problem * self.searcher_cpu_seconds_per_expansion
        return self.searcher_cpu_seconds_per_problem + expansions


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """An hour of each."""

    gpu: float = 2.5
    core: float = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What one tier needs."""

    name: str
    replicas: int
    busy: float
    """Share of what they can do."""

    gpus: int
    cores: int

    def cost(self, prices: Prices) -> float:
        """An hour."""
        return self.gpus * prices.gpu + self.cores * prices.core


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole deployment."""

    problems_per_hour: float
    searches_at_once: int
    tiers: tuple[Tier, ...]
    store_gigabytes_per_day: float
    queue_messages_per_second: float

    def cost_per_hour(self, prices: Prices) -> float:
        """Of all tiers; NATS and the store are small beside them and not in it."""
        return sum(tier.cost(prices) for tier in self.tiers)


def plan(profile: Profile, problems_per_hour: float, *, utilisation: float) -> Plan:
    """How many of what.

    Raises:
        InvalidInput: nothing is asked for, or more than everything is to be used.
    """
    if problems_per_hour <= 0:
        raise InvalidInput("must be more than 0", field="problems_per_hour")
    if not 0 < utilisation <= 1:
        raise InvalidInput("must be a share", field="utilisation")
    rate = problems_per_hour / 3600
    steps = rate * profile.steps
    tokens = steps * profile.tokens_per_candidate
    at_once = math.ceil(rate * profile.seconds_per_problem / utilisation)
    demands = (
        # name, units needed if all were used, GPUs and cores of one, fewest
        (
            "policy",
            tokens / profile.policy_tokens_per_second,
            profile.policy_gpus,
            profile.policy_cores,
        ),
        ("ppm", steps / profile.ppm_scores_per_second, profile.ppm_gpus, profile.ppm_cores),
        ("sandbox", steps * profile.sandbox_seconds_per_run, 0, 1),
        ("searcher", rate * profile.searcher_cpu_seconds, 0, 1),
    )
    fewest = {"searcher": math.ceil(at_once / SEARCHER_PLACES)}
    tiers = []
    for name, demand, gpus, cores in demands:
        replicas = max(1, math.ceil(demand / utilisation), fewest.get(name, 1))
        tiers.append(
            Tier(
                name=name,
                replicas=replicas,
                busy=demand / replicas,
                gpus=replicas * gpus,
                cores=replicas * cores,
            )
        )
    return Plan(
        problems_per_hour=problems_per_hour,
        searches_at_once=at_once,
        tiers=tuple(tiers),
        store_gigabytes_per_day=24 * problems_per_hour * profile.tree_kilobytes / 1e6,
        queue_messages_per_second=rate * (4 + profile.expansions_per_problem / 5),
    )


def profiles() -> dict[str, Profile]:
    """Those that come with the command."""
    text = resources.files("rstar_cli.capacity").joinpath(PROFILES).read_text(encoding="utf-8")
    return {name: Profile(**values) for name, values in tomllib.loads(text).items()}


def changed(profile: Profile, settings: Sequence[str]) -> Profile:
    """`profile` with `name=number` put in place.

    Raises:
        InvalidInput: no such figure, or no number.
    """
    known = {field.name for field in fields(Profile)} - {"summary", "measured", "assumed"}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise InvalidInput(f"no figure {name!r}; there are: {', '.join(sorted(known))}")
        try:
            number = float(value)
        except ValueError as error:
            raise InvalidInput(f"{value!r} is no number", field=name) from error
        whole = isinstance(getattr(profile, name), int)
        figure: dict[str, Any] = {name: int(number) if whole else number}
        profile = replace(profile, **figure)
    return profile
