"""Benchmarks of the searcher: `python -m rstar_searcher.bench`.

A world made of hashes, an engine that shares its speed, and schedules that do the same
work on them, so that only scheduling differs.
"""
