"""A checkpoint as a directory that transformers and SGLang load without our code.

    config.json  generation_config.json  model.safetensors  tokenizer.json
    tokenizer_config.json  manifest.json

Weights are bf16 safetensors. The policy is a causal language model; the PPM is the same
body under a one-label sequence classification head without a bias.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from rstar_common.checkpoints import MANIFEST, Manifest, Model, describe
from rstar_common.errors import InvalidInput
from rstar_common.formats import Marker
from rstar_trainer.spec import Shape, Training
from rstar_trainer.tokenizer import END_OF_TEXT, PAD

TOKENIZER_FILE = "tokenizer.json"


def attention() -> str:
    """Which attention is computed.

    Plain on a CPU, where its backward is twice as fast as the fused one; fused on a GPU, where
    plain attention would keep the square of every length.
    """
    return "sdpa" if torch.cuda.is_available() else "eager"


def recompute(model: PreTrainedModel, training: Training) -> None:
    """Have the backward pass compute the layers' activations again, if `training` says so."""
    if training.recompute_activations:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def random_policy(shape: Shape, tokenizer: Tokenizer, *, seed: int) -> PreTrainedModel:
    """A Llama of `shape` with random weights; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.hidden_size // shape.heads,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END_OF_TEXT),
        pad_token_id=tokenizer.token_to_id(PAD),
        attn_implementation=attention(),
    )
    return LlamaForCausalLM(config)


def load_tokenizer(source: Path) -> Tokenizer:
    """The tokenizer of a checkpoint directory."""
    return Tokenizer.from_file(str(source / TOKENIZER_FILE))


def load_policy(source: Path) -> PreTrainedModel:
    """A policy to go on from, in fp32."""
    return AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, attn_implementation=attention(), local_files_only=True
    )


def load_ppm(source: Path, *, seed: int) -> PreTrainedModel:
    """A PPM: from a PPM checkpoint as it is, from a policy with a new scalar head, in fp32."""
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(source, num_labels=1, local_files_only=True)
    return AutoModelForSequenceClassification.from_pretrained(
        source,
        config=config,
        dtype=torch.float32,
        attn_implementation=attention(),
        local_files_only=True,
    )


def add_markers(model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Give a stock model the special tokens of a trajectory, and rows for them."""
    names = [PAD, END_OF_TEXT, *(marker.value for marker in Marker)]
    missing = [name for name in names if tokenizer.token_to_id(name) is None]
    if missing:
        tokenizer.add_special_tokens(missing)
        rows = max(tokenizer.get_vocab_size(), model.config.vocab_size)
        model.resize_token_embeddings(rows)


def save(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    directory: Path,
    *,
    kind: Model,
    prompt_format: str,
    parents: Sequence[str],
    batch_ids: Sequence[str],
    metrics: Mapping[str, float],
    data_digests: Sequence[str] = (),
    origin: str = "",
) -> Manifest:
    """Write a checkpoint into `directory`, replacing it, and return its manifest."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    max_length = int(model.config.max_position_embeddings)
    # Saving must not round the weights that a caller may go on using.
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    weights = {
        name: tensor.to(torch.bfloat16)
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    model.save_pretrained(directory, state_dict=weights, safe_serialization=True)
    config = json.loads((directory / "config.json").read_text())
    _write_json(directory / "config.json", config | {"dtype": "bfloat16"})
    tokenizer.save(str(directory / TOKENIZER_FILE))
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END_OF_TEXT,
            "pad_token": PAD,
            "additional_special_tokens": [marker.value for marker in Marker],
            "model_max_length": max_length,
            "clean_up_tokenization_spaces": False,
        },
    )
    if kind == "policy":
        _write_json(
            directory / "generation_config.json",
            {
                "eos_token_id": tokenizer.token_to_id(END_OF_TEXT),
                "pad_token_id": tokenizer.token_to_id(PAD),
                "max_length": max_length,
            },
        )
    manifest = describe(
        directory,
        model=kind,
        prompt_format=prompt_format,
        parents=parents,
        batch_ids=batch_ids,
        metrics=metrics,
        data_digests=data_digests,
        origin=origin,
    )
    (directory / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def read_prompt_format(source: Path) -> str:
    """The prompt format a checkpoint was trained with.

    Raises:
        InvalidInput: the directory has no manifest.
    """
    path = source / MANIFEST
    if not path.is_file():
        raise InvalidInput(f"{source} has no {MANIFEST}", field="base")
    return Manifest.from_json(path.read_bytes()).prompt_format


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
