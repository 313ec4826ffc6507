"""A PPM in memory: a transformer body and a scalar head, scoring batches of calls.

The score of a sequence is tanh of the head at its last token (rStar-Math section 3.3); of the value
over a constant where the checkpoint names one.
Everything here is synchronous and belongs to one thread.

Shape suffixes: B = calls, N = tokens computed, C = tokens cached, M = C + N, L = layers,
H = key-value heads, D = size of a head, X = hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, DynamicCache

from rstar_common.errors import InvalidInput, Unavailable
from rstar_common.scores import SCORE_DIVISOR
from rstar_ppm.layout import Row, ScoringCall, lay_out
from rstar_ppm.prefix_cache import PrefixCache

ROUNDING_DIGITS = 6
"""Sums of floats depend on what else is in the batch, in the seventh digit; searches must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScores:
    """What a call gets."""

    scores: tuple[float, ...]
    computed_tokens: int


class RewardModel:
    """One checkpoint, loaded."""

    def __init__(
        self, directory: Path, *, device: torch.device, dtype: torch.dtype, cached_tokens: int
    ) -> None:
        """Load the weights.

        Raises:
            InvalidInput: it is no sequence classification checkpoint with one label.
            Unavailable: the GPU has no room for it now.
        """
        try:
            config = AutoConfig.from_pretrained(directory, local_files_only=True)
            model = AutoModelForSequenceClassification.from_pretrained(
                directory,
                dtype=dtype,
                attn_implementation="sdpa",
                local_files_only=True,
                use_safetensors=True,
            )
            model.eval().requires_grad_(False).to(device)
        except torch.OutOfMemoryError as error:  # a version that retires may make room
            raise Unavailable(f"no room for {directory}: {error}") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise InvalidInput(f"cannot load {directory}: {error}", field="model") from error
        if config.num_labels != 1:
            raise InvalidInput(f"{directory} has {config.num_labels} labels, not 1", field="model")
        self._body = model.base_model
        self._head = model.score
        self._divisor = float(getattr(config, SCORE_DIVISOR, 1.0))
        self._device = device
        self._dtype = dtype
        self._cache = PrefixCache(cached_tokens)
        self.max_length = int(config.max_position_embeddings)
        self.vocabulary_size = int(config.vocab_size)

    @torch.inference_mode()
    def score(self, calls: Sequence[ScoringCall]) -> list[CallScores]:
        """Score every sibling of every call in one forward pass."""
        known = [self._cache.known(call.path) for call in calls]
        rows = [
            lay_out(call, cached_segments=len(entries))
            for call, entries in zip(calls, known, strict=True)
        ]
        width = max(len(row.token_ids) for row in rows)
        context = max(row.cached for row in rows)
        ids_BN = torch.zeros(len(rows), width, dtype=torch.long)
        positions_BN = torch.zeros(len(rows), width, dtype=torch.long)
        for index, row in enumerate(rows):
            ids_BN[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
            positions_BN[index, : len(row.positions)] = torch.tensor(row.positions)
        mask_B1NM = torch.stack([_mask(row, width=width, context=context) for row in rows])[:, None]
        cache = DynamicCache()
        if context:
            self._restore(cache, known, context)
        output = self._body(
            input_ids=ids_BN.to(self._device),
            position_ids=positions_BN.to(self._device),
            attention_mask=mask_B1NM.to(self._device),
            past_key_values=cache,
            use_cache=True,
        )
        self._remember(cache, rows, context)
        return [
            CallScores(
                scores=tuple(
                    round(value, ROUNDING_DIGITS)
                    for value in self._rewards(output.last_hidden_state[index, row.last])
                ),
                computed_tokens=len(row.token_ids),
            )
            for index, row in enumerate(rows)
        ]

    def _rewards(self, hidden_SX: Tensor) -> list[float]:
        raw_S = self._head(hidden_SX)[:, 0].float()
        values: list[float] = torch.tanh(raw_S / self._divisor).tolist()
        return values

    def _restore(
        self, cache: DynamicCache, known: Sequence[Sequence[Tensor]], context: int
    ) -> None:
        """Fill `cache` with known keys and values, left-aligned and padded to `context`."""
        [sample] = [entries[0] for entries in known if entries][:1]
        layers, _, heads, _, size = sample.shape
        kv_BL2HCD = torch.zeros(
            (len(known), layers, 2, heads, context, size), dtype=self._dtype, device=self._device
        )
        for index, entries in enumerate(known):
            if entries:
                kv_L2HcD = torch.cat(list(entries), dim=-2)
                kv_BL2HCD[index, ..., : kv_L2HcD.shape[-2], :] = kv_L2HcD
        for layer in range(layers):
            cache.update(kv_BL2HCD[:, layer, 0], kv_BL2HCD[:, layer, 1], layer)

    def _remember(self, cache: DynamicCache, rows: Sequence[Row], context: int) -> None:
        for index, row in enumerate(rows):
            end = context + len(row.token_ids)
            kv_L2HND = torch.stack(
                [
                    torch.stack(
                        (
                            layer.keys[index, :, context:end],
                            layer.values[index, :, context:end],
                        )
                    )
                    for layer in cache.layers
                ]
            )
            for segment, start in row.segments:
                stop = start + len(segment.token_ids)
                self._cache.add(segment, kv_L2HND[..., start:stop, :].clone())


def _mask(row: Row, *, width: int, context: int) -> Tensor:
    """Who sees whom, True for yes; the drawing is in `layout`."""
    allowed_NM = torch.zeros(width, context + width, dtype=torch.bool)
    used = len(row.token_ids)
    allowed_NM[:used, : row.cached] = True
    allowed_NM[:used, context : context + row.stem] = True
    stem_NN = allowed_NM[: row.stem, context : context + row.stem]
    stem_NN.tril_()
    for start, end in row.spans:
        size = end - start
        block = torch.ones(size, size, dtype=torch.bool).tril_()
        allowed_NM[start:end, context + start : context + end] = block
    # A padding row that saw nothing would be NaN; it sees itself.
    padding = torch.arange(used, width)
    allowed_NM[padding, context + padding] = True
    return allowed_NM
