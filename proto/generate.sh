#!/usr/bin/env bash
# Generates proto/gen and docs/api.md from proto/rstar/v1. `--check` fails if what is committed differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v "${PYTHON:-python}") && python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
want="grpcio-tools 1.85.1, mypy-protobuf 5.1.0"
have=$("$python" -c 'from importlib.metadata import version as v; print("grpcio-tools " + v("grpcio-tools") + ", mypy-protobuf " + v("mypy-protobuf"))')
[ "$have" = "$want" ] || { echo "generate.sh: need $want; have $have" >&2; exit 1; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bin=$(dirname "$python")
cd "$here"
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I. --python_out="$out" --grpc_python_out="$out" \
  --mypy_out="$out" --mypy_grpc_out="$out" rstar/v1/*.proto
if [ "${1:-}" = "--check" ]; then
  diff -r -x __pycache__ -x py.typed "$out/rstar" gen/rstar || { echo "generated code is stale: run make proto" >&2; exit 1; }
else
  rm -rf gen/rstar && mkdir -p gen && cp -r "$out/rstar" gen/ && touch gen/rstar/py.typed
fi
"$python" document.py "$@"
