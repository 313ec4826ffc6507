"""Searcher service: owns the tree and the budget."""
