"""Stand-in for SGLang's CPU kernels on x86-64 without AMX, in plain torch.

SGLang publishes `sgl_kernel` for CPUs with AMX only. Without AMX it takes its own torch
paths, but imports the module all the same and calls three helpers from it: two that fill
the table of cache slots, and the hash behind seeded sampling. Those are here. Every other
name can be imported and raises when called, so a path that would need a real kernel fails
loudly instead of computing something else.

On the path of the SGLang process only, and only where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch

__version__ = "0.0.0+rstar.cpu"

MASK_32 = 0xFFFFFFFF


def assign_req_to_token_pool_cpu(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    out_cache_loc: torch.Tensor,
    pool_len: int,
) -> None:
    """Write each request's new cache slots, which lie one after another, into its row."""
    del pool_len
    taken = 0
    spans = zip(req_pool_indices.tolist(), start_offset.tolist(), end_offset.tolist(), strict=True)
    for row, start, end in spans:
        slots = out_cache_loc[taken : taken + end - start]
        req_to_token[row, start:end] = slots.to(req_to_token.dtype)
        taken += end - start


def assign_extend_cache_locs_cpu(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    out_cache_loc: torch.Tensor,
    pool_len: int,
) -> None:
    """Read each request's cache slots back out of its row: the inverse of the above."""
    del pool_len
    taken = 0
    spans = zip(req_pool_indices.tolist(), start_offset.tolist(), end_offset.tolist(), strict=True)
    for row, start, end in spans:
        slots = req_to_token[row, start:end]
        out_cache_loc[taken : taken + end - start] = slots.to(out_cache_loc.dtype)
        taken += end - start


@torch.library.custom_op("sgl_kernel::murmur_hash32_cpu", mutates_args=())
def murmur_hash32_cpu(
    seed: torch.Tensor, positions: torch.Tensor, col_indices: torch.Tensor
) -> torch.Tensor:
    """MurmurHash3 (32 bit) of (seed, position, column): shapes [N], [N], [V] to [N, V].

    int64 arithmetic wraps, which leaves the low 32 bits right; each product is masked.
    """
    words = seed.to(torch.int64)
    state = _mixed(torch.zeros_like(words), words & MASK_32)
    state = _mixed(state, (words >> 32) & MASK_32)
    state = _mixed(state, positions.to(torch.int64) & MASK_32)
    state = _mixed(state[:, None], col_indices.to(torch.int64)[None, :] & MASK_32)
    hashed_bytes = 16
    state = state ^ hashed_bytes
    state = state ^ (state >> 16)
    state = (state * 0x85EBCA6B) & MASK_32
    state = state ^ (state >> 13)
    state = (state * 0xC2B2AE35) & MASK_32
    return (state ^ (state >> 16)).to(torch.uint32)


def _mixed(state: torch.Tensor, word: torch.Tensor) -> torch.Tensor:
    word = (word * 0xCC9E2D51) & MASK_32
    word = ((word << 15) | (word >> 17)) & MASK_32
    state = state ^ ((word * 0x1B873593) & MASK_32)
    state = ((state << 13) | (state >> 19)) & MASK_32
    return (state * 5 + 0xE6546B64) & MASK_32


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(f"sgl_kernel.{name} needs a CPU with AMX")

    missing.__name__ = name
    return missing
