#!/bin/sh
# The install step of every image, and of check.sh: a virtual environment with one service's
# dependencies and a path entry for its code. Runs in the directory that holds pyproject.toml.
#
#   install.sh SERVICE VENV CODE [ENGINE]
#
# CODE is where the sources will lie. ENGINE is the policy's alone:
#   none   no engine here: engine_url names one (the default)
#   cpu    SGLang for a machine without a GPU
#   base   the base image brings SGLang and torch; the environment sees its packages
# TORCH_INDEX_URL names an index with CPU builds of torch, where that is wanted.
#
# Without an engine, every package but torch is the one whose hash is in locks/SERVICE.txt, on the
# platform that the locks are for; elsewhere, and beside an engine, pip chooses.
set -eu

service=$1 venv=$2 code=$3 engine=${4:-none}
here=$(dirname "$0")
python=${PYTHON:-python3}

case $engine in
    none | cpu) "$python" -m venv "$venv" ;;
    base) "$python" -m venv --system-site-packages "$venv" ;;
    *) echo "install.sh: ENGINE is none, cpu or base, not $engine" >&2 && exit 2 ;;
esac
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet "$@"; }

if [ "$engine" = cpu ]; then
    PYTHON="$venv/bin/python" infra/sglang/install-cpu.sh
fi
"$python" "$here/requirements.py" "$service" >"$venv/requirements.txt"
if [ -n "${TORCH_INDEX_URL:-}" ] && torch=$(grep '^torch==' "$venv/requirements.txt"); then
    pip install --index-url "$TORCH_INDEX_URL" "$torch"
fi
lock=$here/locks/$service.txt
tags="$("$venv/bin/python" -c 'import sys; print("CPython %d.%d" % sys.version_info[:2])')"
if [ "$engine" = none ] && grep -q "^# For $tags, $(uname -s) $(uname -m)\.$" "$lock"; then
    pip install --no-deps --require-hashes --requirement "$lock"
fi
pip install --requirement "$venv/requirements.txt"

# Not PYTHONPATH: the engine's process sets its own.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf '%s\n' "$code/proto/gen" "$code/services/common" "$code/services/$service" >"$site/rstar.pth"
