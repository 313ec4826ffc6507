"""What a promoted pointer names: a model's weights, or the bootstrap proposer.

A run of self-evolution begins without any policy. Its round 0 promotes the checkpoint
`bootstrap`, whose manifest says the proposer is to serve; a later promotion brings the
model back. While an engine for the model starts, calls are refused: nothing of a new
round is proposed by the policy of the one before.
"""

from __future__ import annotations

from collections.abc import Callable

from rstar_policy.engine import Engine, EngineInfo, Proposal, Query


class PromotedEngine:
    """Implements `Engine` by one of two."""

    def __init__(self, model: Engine, proposer: Callable[[], Engine]) -> None:
        """`proposer` is made when it is first needed."""
        self._model = model
        self._make_proposer = proposer
        self._proposer: Engine | None = None
        self._proposes = False

    def use_proposer(self) -> None:
        """Let the proposer serve."""
        self._proposer = self._proposer or self._make_proposer()
        self._proposes = True

    def use_model(self) -> None:
        """Let the model serve."""
        self._proposes = False

    def info(self) -> EngineInfo:
        return self._now().info()

    async def propose(self, query: Query) -> Proposal:
        return await self._now().propose(query)

    def _now(self) -> Engine:
        if self._proposes:
            assert self._proposer is not None
            return self._proposer
        return self._model
