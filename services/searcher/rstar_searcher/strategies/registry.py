"""One strategy object for each name on the wire."""

from __future__ import annotations

from rstar_searcher.settings import SearchSettings
from rstar_searcher.settings import Strategy as StrategyName
from rstar_searcher.strategies.mcts import Mcts
from rstar_searcher.strategies.protocol import Strategy
from rstar_searcher.strategies.sampling import Sampling
from rstar_searcher.strategies.step_beam import StepBeam


def make_strategy(settings: SearchSettings) -> Strategy:
    """A fresh search with these settings."""
    match settings.strategy:
        case StrategyName.MCTS:
            return Mcts(settings)
        case StrategyName.STEP_BEAM:
            return StepBeam(settings)
        case StrategyName.BEST_OF_N | StrategyName.MAJORITY | StrategyName.GREEDY:
            return Sampling(settings)
