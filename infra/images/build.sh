#!/usr/bin/env bash
# Builds the images, as rstar-SERVICE:TAG, from one base digest.
#
#   infra/images/build.sh sha256:… [SERVICE…]
#
# TAG (dev), POLICY_ENGINE (cpu; none, base), BASE_NAME (python:3.11-slim-bookworm: the image that the
# digest is of), TORCH_INDEX_URL and DOCKER (docker) may be set.
set -euo pipefail
digest=${1:?usage: build.sh sha256:DIGEST [SERVICE…]}
shift
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "build.sh: no digest: $digest" >&2 && exit 2; }
cd "$(dirname "$0")/../.."
(($#)) || set -- searcher policy ppm sandbox trainer
for service in "$@"; do
    [[ -f infra/images/$service/Dockerfile ]] || { echo "build.sh: no image for $service" >&2 && exit 2; }
    arguments=(--build-arg "BASE_DIGEST=$digest")
    [[ $service == policy ]] && arguments+=(--build-arg "ENGINE=${POLICY_ENGINE:-cpu}")
    [[ -n ${BASE_NAME:-} ]] && arguments+=(--build-arg "BASE_NAME=$BASE_NAME")
    [[ -n ${TORCH_INDEX_URL:-} ]] && arguments+=(--build-arg "TORCH_INDEX_URL=$TORCH_INDEX_URL")
    "${DOCKER:-docker}" build --file "infra/images/$service/Dockerfile" "${arguments[@]}" \
        --tag "rstar-$service:${TAG:-dev}" .
done
