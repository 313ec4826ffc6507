"""Search strategies behind one protocol."""

from rstar_searcher.strategies.protocol import Ask, Backup, Strategy
from rstar_searcher.strategies.registry import make_strategy

__all__ = ["Ask", "Backup", "Strategy", "make_strategy"]
