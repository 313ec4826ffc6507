"""Bootstrap without a teacher: random programs over what a question's symbols define."""

from rstar_policy.bootstrap.proposer import ProposedStep, RandomProgramProposer

__all__ = ["ProposedStep", "RandomProgramProposer"]
