"""Faults on a system of its own, and the proof that nothing was lost: `rstar chaos`."""
