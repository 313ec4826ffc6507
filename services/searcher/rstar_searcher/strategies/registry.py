"""One strategy object for each name on the wire."""

from __future__ import annotations

from rstar_searcher.settings import Mode, SearchSettings
from rstar_searcher.settings import Strategy as StrategyName
from rstar_searcher.strategies.forest import Forest
from rstar_searcher.strategies.mcts import Mcts
from rstar_searcher.strategies.protocol import Strategy
from rstar_searcher.strategies.sampling import Sampling
from rstar_searcher.strategies.step_beam import StepBeam


def make_strategy(settings: SearchSettings) -> Strategy:
    """A fresh search with these settings."""
    match settings.strategy:
        case StrategyName.MCTS:
            return Forest(settings, Mcts, ppm_prior=settings.mode is not Mode.TERMINAL_GUIDED)
        case StrategyName.STEP_BEAM:
            return Forest(settings, StepBeam, ppm_prior=False)
        case StrategyName.BEST_OF_N | StrategyName.MAJORITY | StrategyName.GREEDY:
            return Forest(settings, Sampling, ppm_prior=False)
