#!/usr/bin/env bash
# Repeats the training of the bundled mini models, from random programs and final answers alone:
# the bootstrap proposer searches training problems, the policy learns from what was right, the PPM,
# which starts from the policy, from pairs of right and wrong steps. No GPU, no network. Every stage is
# keyed: run it again and it goes on where it was.
#
#   infra/models.sh OUT_DIR                   about an hour and a half on two cores
#   PROBLEMS_USED=100 infra/models.sh /tmp/m  a taste of it
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: infra/models.sh OUT_DIR}
problems=${PROBLEMS:-data/dm_math/train.jsonl.gz}
used=${PROBLEMS_USED:-3000}
run=${RUN:-mini}
export RSTAR_HOME=${RSTAR_HOME:-$PWD/.rstar-models}
# A random program that runs for a second will not print a short answer.
export RSTAR_SANDBOX_LIMITS__WALL_SECONDS=1 RSTAR_SANDBOX_LIMITS__CPU_SECONDS=1
# Fewer searches at once than for a trained policy: their parents stay parked in the sandbox.
export RSTAR_SEARCHER_MAX_BATCH_SEARCHES=6 RSTAR_SANDBOX_SANDBOX__PARKED=64
trap 'rstar down >/dev/null 2>&1 || true' EXIT

stage() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

stage "random programs on $used problems"
rstar up --policy bootstrap --no-ppm --seed-models ""
rstar submit "$problems" --batch "$run-round-0" --limit "$used" --with-references \
  --mode terminal-guided --strategy best-of-n --rollouts 16 --stop-after-right 1 --parallel 3 \
  --seed 1 --watch

stage "the policy"
rstar train policy --batch "$run-round-0" --agreement-filter --max-steps 1500 \
  --job "$run-policy" --promote

stage "the PPM"
rstar train ppm --batch "$run-round-0" --max-steps 150 --job "$run-ppm" --promote

stage "the models"
rm -rf "$out.new"
rstar download-checkpoint policy --out "$out.new/policy"
rstar download-checkpoint ppm --out "$out.new/ppm"
mkdir -p "$out"
for model in policy ppm; do
  rm -rf "${out:?}/$model"
  mv "$out.new/$model" "$out/$model"
done
rmdir "$out.new"
rstar checkpoints
