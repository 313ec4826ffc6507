"""A tiny random Llama on disk: real safetensors, real tokenizer, real markers.

Small enough that SGLang's CPU engine loads it in no time, large enough that its greedy
continuations differ from prompt to prompt. The weights are random, so nothing here is
trained and no test may expect sense.
"""

from __future__ import annotations

import string
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from rstar_common.formats import Marker

EOS = "<|end|>"
CONTEXT_TOKENS = 1024


def mini_tokenizer() -> Tokenizer:
    """A byte-level tokenizer with single digits, a few merges and every marker."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["print", "answer", "import", "def", "return"]
    vocabulary = {token: i for i, token in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in words:
        for end in range(2, len(word) + 1):
            left, right = word[: end - 1], word[end - 1]
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[0-9]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([marker.value for marker in Marker] + [EOS])
    return tokenizer


def write_tiny_model(
    directory: Path,
    *,
    seed: int = 0,
    hidden_size: int = 128,
    layers: int = 2,
    dtype: str = "float32",
    tokenizer: Tokenizer | None = None,
    eos: str = EOS,
    context_tokens: int = CONTEXT_TOKENS,
) -> Path:
    """Write a checkpoint with random weights into `directory`; returns it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer or mini_tokenizer()
    config = LlamaConfig(
        vocab_size=-(-tokenizer.get_vocab_size() // 64) * 64,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(eos),
        # Wide enough that the next-token distribution is far from flat.
        initializer_range=0.08,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(directory, safe_serialization=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos).save_pretrained(directory)
    return directory


def printable(count: int) -> str:
    """A question of `count` characters."""
    return (string.ascii_lowercase * (count // 26 + 1))[:count]
