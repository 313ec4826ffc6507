"""Search strategies behind one protocol."""

from rstar_searcher.strategies.protocol import Ask, Backup, Strategy, Told, replay
from rstar_searcher.strategies.registry import make_strategy

__all__ = ["Ask", "Backup", "Strategy", "Told", "make_strategy", "replay"]
