"""What a training is asked for: model, data, settings. No I/O, no torch.

A specification is complete: every default is filled in when the job is submitted, so a
job that is resumed after an upgrade still trains what was asked for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Shape(Frozen):
    """A Llama made from random weights: about 3.5 million parameters by default."""

    hidden_size: int = Field(default=256, ge=16, le=8192)
    layers: int = Field(default=4, ge=1, le=128)
    heads: int = Field(default=4, ge=1, le=128)
    key_value_heads: int = Field(default=4, ge=1, le=128)
    intermediate_size: int = Field(default=704, ge=16, le=65536)
    vocabulary_size: int = Field(default=1024, ge=267, le=262144)
    max_positions: int = Field(default=1024, ge=64, le=131072)


class OptimizerKind(StrEnum):
    """How gradients become steps."""

    ADAMW = "adamw"
    MUON = "muon"
    """For the matrices of the layers, AdamW for the rest; for small models, which are copied."""


class Training(Frozen):
    """Settings of one training run."""

    learning_rate: float = Field(gt=0, le=1)
    epochs: float = Field(default=0.0, ge=0, le=1000)
    """0: as many as `enough_tokens` take."""

    batch_tokens: int = Field(ge=64, le=2**24)
    """Tokens a step, padding apart."""

    max_steps: int = Field(default=0, ge=0)
    """Wins over `epochs` when set."""

    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0, le=10)
    optimizer: OptimizerKind = OptimizerKind.ADAMW
    seed: int = Field(default=0, ge=0, lt=2**63)
    max_length: int = Field(ge=16, le=131072)
    """Longer examples are left out."""

    untrained: bool = False
    """Publish the initial weights."""

    lora_rank: int = Field(default=0, ge=0, le=1024)
    """Train adapters of this rank and merge them; 0 trains all weights."""

    lora_alpha: float = Field(default=0.0, ge=0, le=1e6)
    """Their weight is `lora_alpha / lora_rank`; 0: twice the rank."""

    micro_batch_tokens: int = Field(default=0, ge=0, le=2**24)
    """Tokens, padding included, that a process computes at once; 0: its whole share of a batch."""

    recompute_activations: bool = False
    """Keep the layers' inputs alone for the backward pass: less memory, a third more time."""

    enough_tokens: int = Field(default=0, ge=0)
    """Tokens after which a model of this size has learned what there is to learn."""

    def steps(self, *, batches: int, tokens: int) -> int:
        """Steps of a run over data that make `batches` batches and `tokens` tokens an epoch."""
        if self.max_steps:
            return self.max_steps
        epochs = self.epochs or min(max(self.enough_tokens / tokens, FEWEST_EPOCHS), MOST_EPOCHS)
        return max(1, round(epochs * batches))


FEWEST_EPOCHS = 2.0
MOST_EPOCHS = 30.0
"""Bounds of the number of epochs when it is not given: the paper's, and what memorises."""

POLICY_TRAINING = Training(
    learning_rate=1.5e-3, batch_tokens=2560, max_length=512, enough_tokens=8_000_000
)
PPM_TRAINING = Training(
    learning_rate=3e-4, batch_tokens=4096, max_length=768, enough_tokens=2_000_000
)
"""Defaults of the mini models; a 7B policy is trained for 2 epochs with 7e-6 (the paper)."""


class Choice(StrEnum):
    """Which right trajectories of a problem are learned."""

    BEST_Q = "best_q"
    """Those whose steps the search valued most."""

    RANDOM = "random"
    """Any, drawn by the seed; to compare with."""


class PolicySpec(Frozen):
    """Train a policy on right trajectories."""

    model: Literal["policy"] = "policy"
    batch_ids: tuple[str, ...]
    base: str = ""
    """Checkpoint version to start from; empty for random weights of `shape`."""

    shape: Shape = Shape()
    training: Training = POLICY_TRAINING
    trajectories_per_problem: int = Field(default=2, ge=1, le=64)
    agreement_filter: bool = False
    prompt_format: str = "mini"
    choice: Choice = Choice.BEST_Q
    data_digests: tuple[str, ...] = ()
    """SHA-256 of files with more examples, in the authors' form."""

    evaluation_keys: tuple[str, ...] = ()
    """Objects with problem sets whose questions no variant may ask."""


class Objective(StrEnum):
    """What a scorer learns."""

    PAIRWISE = "pairwise"
    """Preference pairs of steps: the PPM."""

    Q_REGRESSION = "q_regression"
    """The Q of each step."""

    OUTCOME = "outcome"
    """Whole trajectories, right against wrong."""


class PpmSpec(Frozen):
    """Train a PPM on preference pairs."""

    model: Literal["ppm"] = "ppm"
    batch_ids: tuple[str, ...]
    policy_version: str = ""
    """Empty for the policy that is promoted when the job starts."""

    training: Training = PPM_TRAINING
    min_margin: float = Field(default=0.5, ge=0, le=2)
    steps_per_side: int = Field(default=2, ge=1, le=16)
    agreement_filter: bool | None = None
    """None: on if the policy it starts from was trained so."""

    objective: Objective = Objective.PAIRWISE
    min_edit_distance: int = Field(default=0, ge=0, le=10_000)
    """Characters that tell preferred and rejected apart, at least; for the pairwise objective."""

    raw_rewards: bool = False
    """Compare what the head says, before tanh; a score is tanh of a fifth of it then."""

    variants: int = Field(default=0, ge=0, le=64)
    """Of what is compared, with other names and digits: for small models from random weights."""

    data_digests: tuple[str, ...] = ()
    """SHA-256 of files with more pairs, in the authors' form."""

    evaluation_keys: tuple[str, ...] = ()
    """Objects with problem sets whose questions no variant may ask."""


Spec = Annotated[PolicySpec | PpmSpec, Field(discriminator="model")]
