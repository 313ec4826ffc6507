"""A model that was made elsewhere becomes a checkpoint of the store.

The directory is what `transformers` saves: configuration, tokenizer and weights. A base to
train from, an instruct model for the first round, or what several nodes trained together.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from rstar_common.artifacts import ObjectStore
from rstar_common.checkpoints import Manifest, Model, describe, publish, read_manifest
from rstar_common.errors import Conflict, InvalidInput, NotFound
from rstar_common.formats import FORMATS
from rstar_common.streams import check_name

INSTRUCT = "instruct"
"""Prompt format of a policy that is shown two worked examples; it teaches nothing."""

NEEDED = ("config.json", "tokenizer.json")
WEIGHTS = "*.safetensors"


async def upload_checkpoint(
    store: ObjectStore, directory: Path, *, model: Model, prompt_format: str, version: str
) -> Manifest:
    """Publish `directory`; the same again changes nothing, and an interrupted upload goes on.

    Raises:
        InvalidInput: it is no model of that kind, or the version is no name.
        Conflict: another model has this version.
    """
    formats = [*FORMATS, *([INSTRUCT] if model == "policy" else [])]
    if prompt_format not in formats:
        raise InvalidInput(f"expected {', '.join(formats)}", field="--prompt-format")
    manifest = await asyncio.to_thread(_described, directory, model, prompt_format)
    if version:
        check_name(version, field="--version")
        if "/" in version:
            raise InvalidInput("may not hold a /", field="--version")
        manifest = replace(manifest, version=version)
    try:
        known = await read_manifest(store, model, manifest.version)
    except NotFound:
        await publish(store, directory, manifest)
        return manifest
    if (known.files, known.prompt_format) != (manifest.files, manifest.prompt_format):
        raise Conflict(f"{model} {manifest.version} is there and is another model")
    return known


def _described(directory: Path, model: Model, prompt_format: str) -> Manifest:
    for name in NEEDED:
        if not (directory / name).is_file():
            raise InvalidInput(f"has no {name}", field=str(directory))
    if not any(directory.glob(WEIGHTS)):
        raise InvalidInput(f"has no {WEIGHTS}", field=str(directory))
    return describe(directory, model=model, prompt_format=prompt_format)
