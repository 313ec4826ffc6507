"""Settings of the searcher service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rstar_common.config import Section, ServiceSettings
from rstar_searcher.settings import SearchSettings


class SearchDefaults(Section):
    """What a search gets where its caller says nothing; wall time and tokens are ceilings too."""

    rollouts: int = Field(default=8, ge=1, le=1024)
    candidates: int = Field(default=8, ge=1, le=64)
    parallel_rollouts: int = Field(default=4, ge=1, le=64)
    temperature: float = Field(default=1.0, ge=0, le=2)
    max_depth: int = Field(default=16, ge=1, le=64)
    max_step_tokens: int = Field(default=2048, ge=1)
    max_trajectory_tokens: int = Field(default=4096, ge=1)
    max_generated_tokens: int = Field(default=1_000_000, ge=1)
    max_sandbox_seconds: float = Field(default=600.0, gt=0)
    max_wall_seconds: float = Field(default=300.0, gt=0)

    def search_settings(self) -> SearchSettings:
        """As the search core wants them."""
        return SearchSettings(**self.model_dump()).checked()


class SearcherSettings(ServiceSettings):
    """Settings of the searcher service."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SEARCHER_")

    policy_address: str = "127.0.0.1:50051"
    """Policy replicas, `host:port` separated by commas."""

    ppm_address: str = ""
    """PPM replicas; empty searches without a PPM and votes instead."""

    sandbox_address: str = "127.0.0.1:50053"
    """Sandbox replicas."""

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
