#!/usr/bin/env bash
# Writes infra/compose/.env, readable by its owner alone: generated credentials and nothing else,
# a pair for each service; and private/s3.json with the store's identities, in a directory that
# nobody else may enter. Refuses to replace what is there: the volumes remember the old ones.
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
file=${1:-$here/.env}
private=$(dirname "$file")/private

secret() { head -c 48 /dev/urandom | base64 | tr -d '+/=\n' | head -c 32; }

set -o noclobber
if ! { : >"$file"; } 2>/dev/null; then
    echo "secrets.sh: $file is there already; remove it, and the volumes, for new credentials" >&2
    exit 1
fi
{
    echo "NATS_PASSWORD=$(secret)"
    for user in SEARCHER TRAINER POLICY PPM PUBLISHER OBSERVER; do
        echo "NATS_${user}_PASSWORD=$(secret)"
    done
    for identity in S3 S3_SEARCHER S3_TRAINER S3_POLICY S3_PPM S3_PUBLISHER S3_OBSERVER; do
        echo "${identity}_ACCESS_KEY=$(secret)"
        echo "${identity}_SECRET_KEY=$(secret)"
    done
    echo "GRAFANA_USER=rstar"
    echo "GRAFANA_PASSWORD=$(secret)"
} >>"$file"

# The store runs as another user in its container, and reads the file there.
mkdir -p "$private"
# No argument of a program may hold a key: others can read those.
sed -n 's/^\(S3[A-Z0-9_]*_KEY\)=\(.*\)$/s|"\1"|"\2"|/p' "$file" |
    sed -f - "$here/s3-identities.json.in" >|"$private/s3.json"
chmod 644 "$private/s3.json"
echo "$file and $private written; add the images: see the head of compose.yaml" >&2
