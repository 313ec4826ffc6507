"""Whether the policy's engine can be started: its packages fit the hardware, its model is whole.

Nothing heavy is imported: what is installed is asked of the package index on disk.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

from rstar_cli.doctor.finding import Finding, fault, faults_or
from rstar_cli.local.checkout import resource
from rstar_cli.local.state import StackOptions

CHECK = "engine"
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""A driver that is loaded shows one of these."""

HASHED_BYTES = 2**28
"""Larger files are only looked for: reading 15 GB takes minutes."""

_INSTALL = "infra/sglang/install-cpu.sh"


def check(options: StackOptions) -> list[Finding]:
    """SGLang for this hardware, and the models a stack with `options` serves."""
    found = [] if options.policy == "bootstrap" else _sglang()
    for model, named in (("policy", options.policy_model), ("ppm", options.ppm_model)):
        if model == "ppm" and not options.ppm:
            continue
        directory = Path(named) if named else resource(f"models/{model}")
        if directory is not None:
            found += _model(model, directory)
    what = "the bootstrap proposer" if options.policy == "bootstrap" else _installed()
    return faults_or(found, CHECK, what)


def _sglang() -> list[Finding]:
    found = [
        fault(CHECK, f"{package} is not installed", f"run {_INSTALL} for this environment")
        for package in ("sglang", "torch", "transformers")
        if not _version(package)
    ]
    torch = _version("torch")
    has_gpu = any(Path(device).exists() for device in GPU_DEVICES)
    if has_gpu and torch.endswith("+cpu"):
        found.append(
            fault(
                CHECK,
                f"there is a GPU, but torch {torch} cannot use it",
                "pip uninstall torch, then pip install 'rstar-math[engine]'",
            )
        )
    return found


def _installed() -> str:
    return f"SGLang {_version('sglang')} on torch {_version('torch')}; models are whole"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _model(model: str, directory: Path) -> list[Finding]:
    """Every file of a checkpoint is there with the hash its manifest gives."""
    remedy = "download it again: rstar download-checkpoint, or git checkout models"
    if not directory.is_dir():
        if "/" in str(directory) and not directory.is_absolute():
            return []  # a name of the hub
        return [fault(CHECK, f"{model}: no directory {directory}", "name another model, or none")]
    manifest = directory / "manifest.json"
    if not manifest.exists():
        wanted = ("config.json", "tokenizer.json")
        missing = [name for name in wanted if not (directory / name).exists()]
        if not any(directory.glob("*.safetensors")):
            missing.append("*.safetensors")
        text = f"{model}: {directory} has no {', '.join(missing)}"
        return [fault(CHECK, text, remedy)] if missing else []
    try:
        files: dict[str, str] = json.loads(manifest.read_text())["files"]
    except (ValueError, KeyError, TypeError) as error:
        return [fault(CHECK, f"{model}: {manifest} is no manifest ({error!r})", remedy)]
    damaged = [name for name, digest in files.items() if _damaged(directory / name, digest)]
    return [
        fault(CHECK, f"{model}: {directory / name} is missing or damaged", remedy)
        for name in damaged
    ]


def _damaged(path: Path, digest: str) -> bool:
    if not path.is_file():
        return True
    if path.stat().st_size > HASHED_BYTES:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() != digest
