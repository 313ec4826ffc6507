"""Attention over many sequences at once, in place of SGLang's loop over them.

`torch_native` calls the kernel once for each sequence and layer, and when only the last few
tokens of a long prompt are new it computes all of it again. For models this small the calls
are the cost, and a tree search asks for nothing but short continuations of long cached
prompts. Here sequences of equal length, which the candidates of one query are, go as one
batch, in a decoding step and in the prefill; only new rows are computed. There is no mask:
with one, the kernel takes three times as long for siblings, and padding more than the loop.
What this project never serves (cross attention, sliding windows) is left to the original.

Shapes: B sequences, N new tokens each, L tokens in all, K key heads, D values a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


def install(backend: Any) -> None:
    """Put both functions into SGLang's backend class."""
    backend._run_sdpa_forward_decode = _decode_or(backend._run_sdpa_forward_decode)
    backend._run_sdpa_forward_extend = _extend_or(backend._run_sdpa_forward_extend)


def _decode_or(original: Any) -> Any:
    def decode(
        self: Any,
        query: torch.Tensor,
        output: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        req_to_token: torch.Tensor,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        encoder_lens: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        if _unusual(encoder_lens, options):
            return original(
                self, query, output, k_cache, v_cache, req_to_token, req_pool_indices, seq_lens,
                encoder_lens, **options,
            )  # fmt: skip
        rows_of: dict[int, list[int]] = {}
        for row, length in enumerate(seq_lens.tolist()):
            rows_of.setdefault(length, []).append(row)
        for length, rows in rows_of.items():
            at = _index(rows)
            slots_BL = req_to_token[req_pool_indices[at], :length]
            attended = scaled_dot_product_attention(
                query[at].unsqueeze(2),
                _gathered(k_cache, slots_BL, query),
                _gathered(v_cache, slots_BL, query),
                scale=options.get("scaling"),
                enable_gqa=options.get("enable_gqa", False),
            )
            output[at] = attended.squeeze(2)
        return output

    return decode


def _extend_or(original: Any) -> Any:
    def extend(
        self: Any,
        query: torch.Tensor,
        output: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        req_to_token: torch.Tensor,
        req_pool_indices: torch.Tensor,
        seq_lens: torch.Tensor,
        extend_prefix_lens: torch.Tensor,
        extend_seq_lens: torch.Tensor,
        encoder_lens: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        if _unusual(encoder_lens, options) or not options.get("causal"):
            return original(
                self, query, output, k_cache, v_cache, req_to_token, req_pool_indices, seq_lens,
                extend_prefix_lens, extend_seq_lens, encoder_lens, **options,
            )  # fmt: skip
        spans = list(zip(extend_seq_lens.tolist(), seq_lens.tolist(), strict=True))
        first = row = 0
        while first < len(spans):
            new, length = spans[first]
            count = 1
            while first + count < len(spans) and spans[first + count] == (new, length):
                count += 1
            slots_BL = req_to_token[req_pool_indices[first : first + count], :length]
            rows = slice(row, row + count * new)
            output[rows] = _new_rows(
                query[rows], _gathered(k_cache, slots_BL, query),
                _gathered(v_cache, slots_BL, query), count, options,
            )  # fmt: skip
            first, row = first + count, rows.stop
        return output

    return extend


def _new_rows(
    query: torch.Tensor,
    keys_BKLD: torch.Tensor,
    values_BKLD: torch.Tensor,
    count: int,
    options: dict[str, Any],
) -> torch.Tensor:
    rows, heads, width = query.shape
    new, length = rows // count, keys_BKLD.shape[2]
    whole = new == length
    mask_NL = None
    if not whole:
        mask_NL = torch.ones(new, length, dtype=torch.bool).tril(diagonal=length - new)
    attended = scaled_dot_product_attention(
        query.view(count, new, heads, width).transpose(1, 2),
        keys_BKLD,
        values_BKLD,
        attn_mask=mask_NL,
        is_causal=whole,
        scale=options.get("scaling"),
        enable_gqa=options.get("enable_gqa", False),
    )
    return attended.transpose(1, 2).reshape(rows, heads, -1)


def _index(rows: list[int]) -> slice | torch.Tensor:
    """Ascending rows: a slice where they are neighbours, which copies nothing."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows)


def _gathered(cache: torch.Tensor, slots_BL: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """The cached rows of each sequence, [B, K, L, D]. `index_select` is twice as fast as `[]`."""
    rows = cache.index_select(0, slots_BL.reshape(-1))
    return rows.view(*slots_BL.shape, *cache.shape[1:]).transpose(1, 2).to(query.dtype)


def _unusual(encoder_lens: torch.Tensor | None, options: dict[str, Any]) -> bool:
    window = options.get("sliding_window_size")
    return (
        encoder_lens is not None
        or bool(options.get("is_cross_attn"))
        or (window is not None and window > -1)
    )
