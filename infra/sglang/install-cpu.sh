#!/usr/bin/env bash
# Puts SGLang into the active Python environment.
#
# With a GPU: what SGLang publishes, with its own pinned torch. Without: torch's CPU build
# and SGLang without its CUDA dependencies, at the versions it pins; the modules that it
# then lacks stand in infra/sglang/cpu. Does nothing, at once, if all of it is there.
#
#   PYTHON=.venv/bin/python infra/sglang/install-cpu.sh
#
# Where the package index serves CUDA builds of torch (PyPI does), name one with CPU builds in
# TORCH_INDEX_URL; pip's own settings decide everything else.
set -euo pipefail

python=${PYTHON:-python}
sglang=0.5.21
torch=2.13.0
transformers=5.12.1

has_gpu() {
    [[ -e /dev/nvidiactl || -e /dev/kfd || -e /dev/dxg ]]
}

installed() {
    "$python" - "$sglang" "$torch" "$transformers" <<'PY'
import sys
from importlib import metadata

wanted = dict(zip(("sglang", "torch", "transformers"), sys.argv[1:], strict=True))
others = ("triton", "xgrammar", "aiohttp", "fastapi", "pyzmq", "compressed-tensors", "gguf", "openai")
try:
    same = all(metadata.version(name).split("+")[0] == version for name, version in wanted.items())
    for name in others:
        metadata.version(name)
except metadata.PackageNotFoundError:
    same = False
sys.exit(not same)
PY
}

if installed; then
    exit 0
fi

pip=("$python" -m pip install --disable-pip-version-check --quiet)

if has_gpu; then
    "${pip[@]}" "sglang==$sglang"
    exit 0
fi

"${pip[@]}" ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch==$torch"
# Without dependencies: theirs are CUDA libraries of several gigabytes.
"${pip[@]}" --no-deps "sglang==$sglang" triton==3.7.1
# It would name each of them as missing.
"${pip[@]}" --no-warn-conflicts \
    "transformers==$transformers" tokenizers==0.22.2 numpy \
    aiohttp fastapi uvicorn uvloop orjson msgspec 'pyzmq>=25.1.2' psutil setproctitle pydantic \
    requests tqdm pillow partial_json_parser einops prometheus-client pybase64 python-multipart \
    packaging xxhash sentencepiece==0.2.1 IPython dill compressed-tensors==0.18.0 gguf \
    openai==2.6.1 jsonschema xgrammar==0.2.7 soundfile==0.13.1
