#!/usr/bin/env bash
# Runs one image's install steps without a container: a clean virtual environment, and of the
# sources only what its Dockerfile copies. Then imports every module there, and asks for --help.
#
#   infra/images/check.sh SERVICE [ENGINE]      ENGINE: the policy's none (default) or cpu
#
# PYTHON names the interpreter (python3.11). ppm, trainer and ENGINE=cpu install torch, which
# takes minutes. What it does not check: the base image, and the system packages of the sandbox.
set -euo pipefail

service=${1:?usage: check.sh SERVICE [ENGINE]} engine=${2:-none}
root=$(cd "$(dirname "$0")/../.." && pwd)
dockerfile=$root/infra/images/$service/Dockerfile
[[ -f $dockerfile ]] || { echo "check.sh: no image for $service" >&2 && exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
code=$work/code venv=$work/venv

# The COPY instructions of the Dockerfile, replayed: each a list of sources and a target.
while read -r -a words; do
    target=${words[-1]}
    for source in "${words[@]:1:${#words[@]}-2}"; do
        if [[ $target == */ ]]; then
            mkdir -p "$code/$target" && cp -r "$root/$source" "$code/$target"
        else
            mkdir -p "$code/$target" && cp -r "$root/$source/." "$code/$target"
        fi
    done
done < <(grep '^COPY ' "$dockerfile" | grep -v -e '--from=')

cd "$code"
PYTHON=${PYTHON:-python3.11} infra/images/install.sh "$service" "$venv" "$code" "$engine"
"$venv/bin/python" "$root/infra/images/probe.py" "$service" >"$work/probe.json"
env -i PATH=/usr/bin:/bin "$venv/bin/python" -m "rstar_$service.main" --help >/dev/null
others=$(cd "$venv" && ls -d "$code"/services/*/rstar_* | grep -cv -e "rstar_$service\$" -e 'rstar_common$' || true)
[[ $others -eq 0 ]] || { echo "check.sh: the image holds another service's code" >&2 && exit 1; }
count=$("$venv/bin/python" -m pip --disable-pip-version-check list --format=freeze 2>/dev/null | wc -l)
printf '%s: %s distributions, %s, every module imports, --help answers\n' \
    "$service" "$count" "$(du -sh "$venv" | cut -f1)"
