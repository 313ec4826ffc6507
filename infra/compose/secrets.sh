#!/usr/bin/env bash
# Writes infra/compose/.env: generated credentials and nothing else, readable by its owner alone.
# Refuses to replace one that is there: the volumes remember the old credentials.
set -euo pipefail
umask 077
file=${1:-$(cd "$(dirname "$0")" && pwd)/.env}

secret() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n' | head -c 32; }

set -o noclobber
if ! { : >"$file"; } 2>/dev/null; then
    echo "secrets.sh: $file is there already; remove it, and the volumes, for new credentials" >&2
    exit 1
fi
cat >>"$file" <<ENV
NATS_USER=rstar
NATS_PASSWORD=$(secret)
S3_ACCESS_KEY=$(secret)
S3_SECRET_KEY=$(secret)
GRAFANA_USER=rstar
GRAFANA_PASSWORD=$(secret)
ENV
echo "$file written; add the images: see the head of compose.yaml" >&2
