"""Checkpoint folders with tokenizers of the form that Qwen2.5-Math and Phi-3 ship.

The vocabularies are tiny; how they split, join, normalise and decode is the originals', and so
are their special tokens and the places where end-of-text ids are written.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

from rstar_common.formats import Marker
from tests.support.policy_chatml import chatml_tokenizer

CORPUS = [
    "What is the answer?\nLet's think step by step and solve the problem with code.",
    "# Step 1: Add the numbers\nx = 1 + 1\nfor i in range(3):\n    x = x + i\nprint(x)\n",
    ":\nthe problem:\nwhat is it?\n",
]


def qwen_math(directory: Path) -> Path:
    """Byte-level BPE behind a split, NFC, ChatML tokens; ends with `<|endoftext|>`."""
    tokenizer = chatml_tokenizer()
    special = list(tokenizer.get_added_tokens_decoder().values())
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(tokenizer.get_vocab()), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_special_tokens(special)
    return write_checkpoint(directory, tokenizer, "Qwen2ForCausalLM", ["<|endoftext|>"])


def phi_3(directory: Path) -> Path:
    """SentencePiece's form: spaces are letters, each text begins with one, bytes as fallback.

    `<|user|>` and `<|assistant|>` are its own tokens already, and it has several ends of text.
    """
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for token in (
        [f"<0x{byte:02X}>" for byte in range(256)] + ["▁"] + list(map(chr, range(33, 127)))
    ):
        vocabulary[token] = len(vocabulary)
    merges = [
        ("▁", "x"),
        ("i", "s"),
        ("▁", "is"),
        ("t", "h"),
        ("th", "e"),
        ("▁", "the"),
        ("▁", "▁"),
    ]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", normalized=False)])
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, rstrip=True)
            for token in ("<|assistant|>", "<|end|>", "<|user|>")
        ]
    )
    ends = ["<|endoftext|>", "<|end|>", "<|assistant|>"]
    return write_checkpoint(directory, tokenizer, "Phi3ForCausalLM", ends)


def write_checkpoint(
    directory: Path, tokenizer: Tokenizer, architecture: str, ends: list[str]
) -> Path:
    """As the trainer leaves a checkpoint: markers added to the tokenizer; no real weights."""
    tokenizer.add_special_tokens(
        [marker.value for marker in Marker if tokenizer.token_to_id(marker.value) is None]
    )
    directory.mkdir(parents=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    # A trained tokenizer numbers its special tokens anew when it is read.
    read = Tokenizer.from_file(str(directory / "tokenizer.json"))
    ids = [read.token_to_id(token) for token in ends]
    config = {
        "architectures": [architecture],
        "max_position_embeddings": 4096,
        "eos_token_id": ids[0],
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    (directory / "model.safetensors").write_bytes(b"")
    return directory
