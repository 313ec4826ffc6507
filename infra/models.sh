#!/usr/bin/env bash
# Makes mini models as today's recipe says, from problems with final answers alone: random programs
# search, the policy learns from what was right, the PPM, which starts from the policy, from pairs of
# right and wrong steps. No GPU, no network. Interrupted, it goes on.
#
#   infra/models.sh OUT_DIR                                     policy, PPM and report, in OUT_DIR
#   RECIPE=infra/recipes/smoke.toml infra/models.sh /tmp/m      minutes: teaches next to nothing
#
# ROUNDS says how many (1: random programs and what they teach). The models in models/ are those of
# round 4 (ROUNDS=5; docs/self-evolution.md).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: infra/models.sh OUT_DIR}
recipe=${RECIPE:-infra/recipes/mini.toml}
run=${RUN:-$(basename "$recipe" .toml)}
export RSTAR_HOME=${RSTAR_HOME:-$PWD/.rstar-models}
trap 'rstar down >/dev/null 2>&1 || true' EXIT

rstar evolve run "$recipe" --run "$run" --rounds "${ROUNDS:-1}" --up
rm -rf "$out.new"
mkdir -p "$out.new"
rstar download-checkpoint policy --out "$out.new/policy"
rstar download-checkpoint ppm --out "$out.new/ppm"
rstar report "$run" --out "$out.new/report"
mkdir -p "$out"
for part in policy ppm report; do
  rm -rf "${out:?}/$part"
  mv "$out.new/$part" "$out/$part"
done
rmdir "$out.new"
rstar checkpoints
