"""Measuring how many problems are solved, at what cost: what `rstar eval` does."""
