"""One self-contained page of a search tree. Everything a model wrote is data in it."""

from rstar_cli.treepage.page import render

__all__ = ["render"]
