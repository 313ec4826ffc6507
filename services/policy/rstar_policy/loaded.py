"""A checkpoint on local disk, opened: all that this service must know of it.

Torch is not needed for that: the tokenizer is `tokenizer.json`, the architecture and the
longest context are in `config.json`, the end-of-text ids there or in `generation_config.json`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from rstar_common.checkpoints import MANIFEST, Manifest
from rstar_common.errors import InvalidInput
from rstar_common.formats import FORMATS, MINI
from rstar_policy.prompter import MarkerPrompter, Prompter
from rstar_policy.prompts import INSTRUCT, InstructPrompter

INCIDENTAL_KEYS = frozenset({"transformers_version", "_name_or_path", "torch_dtype", "dtype"})
"""Keys of `config.json` that do not change what the engine has built."""

DEFAULT_CONTEXT_TOKENS = 2048
"""For a configuration that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Weights, and how to talk to them."""

    version: str
    directory: Path
    prompter: Prompter = field(repr=False)
    context_tokens: int
    """As far as the model goes; the engine's own limit may be lower."""

    architecture: str = field(repr=False)
    """Equal for checkpoints that one running engine can hold in turn."""


def open_checkpoint(directory: Path, *, prompt_format: str = "", version: str = "") -> Checkpoint:
    """Read the checkpoint in `directory`. Empty arguments are taken from its manifest.

    Raises:
        InvalidInput: it is not a checkpoint of the form we need; names the file or setting.
    """
    manifest = _manifest(directory)
    config = _json(directory / "config.json")
    tokenizer_file = directory / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise InvalidInput(f"no {tokenizer_file}", field="model")
    if not list(directory.glob("*.safetensors")):
        raise InvalidInput(f"no safetensors in {directory}", field="model")
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises nothing narrower
        raise InvalidInput(f"cannot read {tokenizer_file}: {error}", field="model") from error
    prompt_format = prompt_format or (manifest.prompt_format if manifest else MINI.name)
    end_of_text_ids = _end_of_text_ids(directory, config)
    prompter: Prompter
    if prompt_format == INSTRUCT:
        prompter = InstructPrompter(tokenizer, end_of_text_ids)
    elif prompt_format in FORMATS:
        prompter = MarkerPrompter(tokenizer, FORMATS[prompt_format], end_of_text_ids)
    else:
        known = ", ".join([*FORMATS, INSTRUCT])
        raise InvalidInput(f"{prompt_format!r} is none of {known}", field="prompt_format")
    return Checkpoint(
        version=version or (manifest.version if manifest else _pinned_version(directory)),
        directory=directory,
        prompter=prompter,
        context_tokens=int(config.get("max_position_embeddings", DEFAULT_CONTEXT_TOKENS)),
        architecture=_architecture(config, prompter),
    )


def _architecture(config: dict[str, Any], prompter: Prompter) -> str:
    kept = {key: value for key, value in config.items() if key not in INCIDENTAL_KEYS}
    # An engine that looks for stop texts holds the tokenizer too.
    tokenizer = prompter.tokenizer_hash if prompter.stop_texts else ""
    return hashlib.sha256(json.dumps([kept, tokenizer], sort_keys=True).encode()).hexdigest()


def _pinned_version(directory: Path) -> str:
    # Names and sizes, not contents: hashing 15 GB at every start is not worth it.
    files = sorted((path.name, path.stat().st_size) for path in directory.iterdir())
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:8]
    return f"pinned-{directory.name}-{digest}"


def _end_of_text_ids(directory: Path, config: dict[str, Any]) -> list[int]:
    ids: set[int] = set()
    generation = directory / "generation_config.json"
    for source in (config, _json(generation) if generation.is_file() else {}):
        value = source.get("eos_token_id")
        ids |= set(value) if isinstance(value, list) else {value} if value is not None else set()
    return sorted(ids)


def _manifest(directory: Path) -> Manifest | None:
    path = directory / MANIFEST
    return Manifest.from_json(path.read_bytes()) if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {path}: {error}", field="model") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} is not a JSON object", field="model")
    return value
