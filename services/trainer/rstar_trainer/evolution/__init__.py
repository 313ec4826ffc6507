"""Runs of self-evolution: rounds of search, training and evaluation (rStar-Math section 4)."""
