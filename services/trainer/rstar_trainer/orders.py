"""What a worker is told: a job's specification with the base it starts from brought here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rstar_common import checkpoints
from rstar_common.checkpoints import BOOTSTRAP
from rstar_common.errors import InvalidInput, NotFound
from rstar_trainer.job import WorkOrder
from rstar_trainer.promotion import Registry
from rstar_trainer.spec import PolicySpec, PpmSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What the workers of a job may use."""

    threads: int
    """Each."""

    processes: int
    state_seconds: float
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]


async def work_order(
    spec: PolicySpec | PpmSpec,
    registry: Registry,
    *,
    bases: Path,
    limits: WorkerLimits,
    begun: WorkOrder | None = None,
) -> WorkOrder:
    """The order of a job; the checkpoint it starts from is fetched into `bases`.

    One that was `begun` starts from what it started from, whatever is promoted now.

    Raises:
        InvalidInput: there is nothing to start from.
    """
    agreement_filter = spec.agreement_filter
    if begun is not None:
        version = "".join(begun.parents)  # one or none
    elif isinstance(spec, PolicySpec):
        version = spec.base
    else:
        version = spec.policy_version or await registry.promoted("policy")
    base = ""
    if version:
        try:
            manifest = await checkpoints.read_manifest(registry.store, "policy", version)
        except NotFound as error:
            raise InvalidInput(f"no policy checkpoint {version}", field="base") from error
        if manifest.prompt_format == BOOTSTRAP:
            raise InvalidInput("the bootstrap proposer has no weights", field="base")
        base = str(await checkpoints.fetch(registry.store, manifest, bases))
        if agreement_filter is None:
            # A policy that was taught agreed programs only is not to be judged by others.
            agreement_filter = bool(manifest.metrics.get("agreement_filter", 0.0))
    return WorkOrder(
        spec=spec,
        base=base,
        parents=(version,) if version else (),
        agreement_filter=bool(agreement_filter),
        threads=limits.threads,
        processes=limits.processes,
        state_seconds=limits.state_seconds,
        device=limits.device,
        precision=limits.precision,
    )
