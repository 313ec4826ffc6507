"""Settings of the searcher service."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from rstar_common.config import Section, ServiceSettings
from rstar_common.errors import InvalidInput
from rstar_common.tenancy import check_tenant
from rstar_searcher.settings import SearchSettings
from rstar_searcher.tenants import HOUSE, HOUSE_LABEL, Tenant, Tenants

MAX_TENANTS = 64
"""Each costs a request a second of every searcher that has nothing to do, and a few series."""


class SearchDefaults(Section):
    """What a search gets where its caller says nothing; wall time and tokens are ceilings too."""

    rollouts: int = Field(default=8, ge=1, le=1024)
    """Trajectories that are begun."""

    candidates: int = Field(default=8, ge=1, le=64)
    """Steps proposed at each expansion."""

    parallel_rollouts: int = Field(default=4, ge=1, le=64)
    """Under way at once in one tree."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    """Of sampling."""

    max_depth: int = Field(default=16, ge=1, le=64)
    """Steps of a trajectory."""

    max_step_tokens: int = Field(default=2048, ge=1)
    """Of one step."""

    max_trajectory_tokens: int = Field(default=4096, ge=1)
    """Of a trajectory; longer ones are given up."""

    max_generated_tokens: int = Field(default=1_000_000, ge=1)
    """Of a search; a caller may ask for less, not for more."""

    max_sandbox_seconds: float = Field(default=600.0, gt=0)
    """Processor time of a search's runs; likewise."""

    max_wall_seconds: float = Field(default=300.0, gt=0)
    """Of a search; likewise."""

    def search_settings(self) -> SearchSettings:
        """As the search core wants them."""
        return SearchSettings(**self.model_dump()).checked()


class CallSeconds(Section):
    """Longest one call of a tier may take before another replica is asked.

    Somewhat more than the tier allows itself: a replica may live and never answer.
    """

    policy: float = Field(default=330.0, gt=0)
    """Of `Propose` and `Complete`."""

    ppm: float = Field(default=90.0, gt=0)
    """Of `Score`."""

    sandbox: float = Field(default=150.0, gt=0)
    """Of `Execute` and `Judge`."""


class TenantSettings(Section):
    """What one tenant may take; a limit of 0 is none."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """Its share of the places for queued problems, beside those of others that have work."""

    max_queued: int = Field(default=0, ge=0)
    """Problems that may wait or be searched; a batch that would exceed it is refused whole."""

    max_searches: int = Field(default=0, ge=0)
    """Queued problems searched at once, on all searchers; those of paused batches count while they
    are put aside."""

    max_interactive: int = Field(default=0, ge=0)
    """Interactive searches at once, on each searcher."""

    tokens_per_day: int = Field(default=0, ge=0)
    """Generated tokens of a day (UTC): then queued problems wait for the next and calls are
    refused. Searches under way end as usual."""


class SearcherSettings(ServiceSettings):
    """Settings of the searcher service."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SEARCHER_")

    policy_address: str = "127.0.0.1:50051"
    """Policy replicas, `host:port` separated by commas."""

    ppm_address: str = ""
    """PPM replicas; empty searches without a PPM and votes instead."""

    sandbox_address: str = "127.0.0.1:50053"
    """Sandbox replicas."""

    call_seconds: CallSeconds = CallSeconds()

    max_interactive: int = Field(default=16, ge=1)
    """Interactive searches at once; their own places, which batches cannot take."""

    max_batch_searches: int = Field(default=8, ge=1)
    """Queued problems searched at once."""

    queued: bool = True
    """Whether this replica searches queued problems; off where it answers people alone, beside a
    tier that evolves."""

    lease_seconds: float = Field(default=15.0, gt=0)
    """A search whose searcher was not heard of for this long may be taken by another."""

    intake: bool = True
    """Whether this replica also takes published batches in."""

    defaults: SearchDefaults = SearchDefaults()

    tenants: dict[str, TenantSettings] = Field(default_factory=dict[str, TenantSettings])
    """By name; `default` is everybody who names no tenant. The same on every searcher."""

    @field_validator("tenants")
    @classmethod
    def _check_names(cls, tenants: dict[str, TenantSettings]) -> dict[str, TenantSettings]:
        if len(tenants) > MAX_TENANTS:
            raise ValueError(f"at most {MAX_TENANTS}")
        for name in tenants:
            try:
                check_tenant(name, field=name)
            except InvalidInput as error:
                raise ValueError(str(error)) from error
        return tenants

    def all_tenants(self) -> Tenants:
        """As the queue wants them."""
        return Tenants(
            Tenant(name=HOUSE if name == HOUSE_LABEL else name, **one.model_dump())
            for name, one in self.tenants.items()
        )
