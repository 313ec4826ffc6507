"""A model by directory or by hub name, as a directory."""

from __future__ import annotations

import logging
from pathlib import Path

from rstar_common.errors import InvalidInput, Unavailable

logger = logging.getLogger(__name__)

WANTED_FILES = ["*.json", "*.safetensors", "*.txt"]
"""Never pickled weights, never code."""


def local_model(model: str) -> Path:
    """The directory of `model`, downloaded into the hub's own cache if need be. Blocks.

    Raises:
        InvalidInput: it is neither a directory nor a hub name.
        Unavailable: the hub does not give it.
    """
    directory = Path(model)
    if directory.is_dir():
        return directory.resolve()
    if directory.is_absolute() or model.startswith(".") or model.count("/") != 1:
        raise InvalidInput(f"{model!r} is no directory and no OWNER/NAME", field="policy.model")
    logger.info("fetching a model from the hub", extra={"model": model})
    # Imported here: only this path needs it, and it takes a while.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=WANTED_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Unavailable(f"policy.model: the hub does not give {model}: {error}") from error
