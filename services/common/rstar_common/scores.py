"""How a PPM's score comes of what its head says.

In the paper a score is tanh of it, in training too. The authors' code compares what the head says
itself while training, which may grow beyond what tanh tells apart, and scores by tanh of a fifth.
"""

from __future__ import annotations

SCORE_DIVISOR = "rstar_score_divisor"
"""Key of a checkpoint's `config.json`, where its PPM learned raw rewards; 1 without it."""

RAW_SCORE_DIVISOR = 5.0
