#!/usr/bin/env bash
# Repeats the making of the bundled mini models from problems with final answers alone, as their
# recipe says: random programs search, the policy learns from what was right, the PPM, which starts
# from the policy, from pairs of right and wrong steps. No GPU, no network. Interrupted, it goes on.
#
# The recipe's searches of random programs end with their first right answer, and where that came at once
# they show nothing wrong: a PPM that learned from them alone chose badly among programs for easy problems
# (docs/log.md). So CONTRAST problems are searched until they have three right answers, and the PPM
# is taught by both.
#
#   infra/models.sh OUT_DIR                                     policy, PPM and report, in OUT_DIR
#   RECIPE=infra/recipes/smoke.toml CONTRAST=16 STEPS=20 infra/models.sh /tmp/m    minutes: teaches next to nothing
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: infra/models.sh OUT_DIR}
recipe=${RECIPE:-infra/recipes/mini.toml}
run=${RUN:-$(basename "$recipe" .toml)}
export RSTAR_HOME=${RSTAR_HOME:-$PWD/.rstar-models}
promoted() { rstar checkpoints --json | python3 -c 'import json, sys
print(next(c["version"] for c in json.load(sys.stdin) if c["model"] == sys.argv[1] and c["promoted"]))' "$1"; }
trap 'rstar down >/dev/null 2>&1 || true' EXIT

rstar evolve run "$recipe" --run "$run" --rounds "${ROUNDS:-1}" --up
policy=$(promoted policy)
rm -rf "$out.new"
mkdir -p "$out.new"
zcat data/dm_math/train.jsonl.gz > "$out.new/train.jsonl"
rstar promote policy bootstrap
# The pointer moves at once, the policy service follows it.
for _ in {1..120}; do
  if rstar status --json | grep -q '"policy_version": "bootstrap'; then break; fi
  sleep 1
done
rstar submit "$out.new/train.jsonl" --limit "${CONTRAST:-700}" --batch contrast --watch --with-references \
  --mode terminal-guided --strategy best-of-n --rollouts 12 --parallel 3 --stop-after-right 3 --max-depth 16 --seed 11
rstar promote policy "$policy"
rstar train ppm --batch "$run/r0/search" --batch contrast --policy-version "$policy" --agreement-filter \
  --min-margin 0.5 --steps-per-side 2 --learning-rate 0.0003 --batch-tokens 4096 --max-steps "${STEPS:-300}" --seed 1 \
  --job "$run-contrast-ppm" --promote
rm "$out.new/train.jsonl"
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
