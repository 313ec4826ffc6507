"""What this service tells Prometheus beside the calls themselves."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from rstar_policy.engine import Proposal

SEQUENCES_INFLIGHT = Gauge(
    "rstar_policy_sequences_inflight", "Candidates being generated: the autoscaling signal."
)
CANDIDATES = Counter("rstar_policy_candidates_total", "Candidates returned.", ["complete"])
TOKENS = Counter(
    "rstar_policy_tokens_total",
    "Tokens by what they were: generated, prompt, cached (the part of prompt found in cache).",
    ["what"],
)
ENGINE_UP = Gauge("rstar_policy_engine_up", "1 while the engine answers.")
ENGINE_STARTS = Counter("rstar_policy_engine_starts_total", "Starts of the engine process.")
ENGINE_FAILURES = Counter(
    "rstar_policy_engine_failures_total", "Engine calls that failed; health checks do not count."
)
SWAPS = Counter("rstar_policy_swaps_total", "Changes of weights.", ["how"])
SWAP_SECONDS = Histogram(
    "rstar_policy_swap_seconds", "How long new requests waited behind a change of weights.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)  # fmt: skip
LOADED = Gauge("rstar_policy_loaded", "1 for the version being served.", ["version"])


def count(proposal: Proposal) -> None:
    """Record a proposal."""
    for candidate in proposal.candidates:
        CANDIDATES.labels("yes" if candidate.complete else "no").inc()
    TOKENS.labels("generated").inc(proposal.usage.generated_tokens)
    TOKENS.labels("prompt").inc(proposal.usage.prompt_tokens)
    TOKENS.labels("cached").inc(proposal.usage.cached_prompt_tokens)
