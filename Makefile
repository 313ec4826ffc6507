# One-word targets; CI calls the same ones. `make demo` and `make test` install what they need.
SHELL := /bin/bash
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: install demo test check fmt proto models bench clean

install:            ## Everything: system packages, gVisor, the CPU engine, the project itself
	@infra/install.sh

demo: install       ## Start the stack, solve 24 held-out problems through the queue, stop it
	@rstar demo --out demo-out

test:               ## The whole suite, with real servers and one real engine
	@infra/install.sh tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder

check:              ## Format, lint, types, import contracts, protos
	@ruff format --check -q . && ruff check -q . && echo "ruff: clean"
	@mypy -p rstar_common -p rstar_policy -p rstar_ppm -p rstar_searcher -p rstar_sandbox -p rstar_trainer -p rstar_cli \
		-p rstar_client
	@$(PY) infra/observability/dashboards.py --check && $(PY) infra/config/reference.py --check
	@set -o pipefail; lint-imports --no-logo | tail -n 1
	@cd proto && buf lint && ./generate.sh --check >/dev/null 2>&1 && echo "protos: linted, generated code is current"

fmt:                ## Format and fix what can be fixed
	@ruff format -q . && ruff check -q --fix .

proto:              ## Regenerate proto/gen
	@proto/generate.sh 2>/dev/null

models: install     ## Train models like the bundled ones by today's recipe, in hours: into models-out
	@ROUNDS=5 infra/models.sh models-out

bench: install      ## Held-out problems end to end: one JSON line
	@rstar bench e2e --problems data/dm_math/heldout.jsonl --limit 200

clean:              ## Forget environment and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache demo-out models-out
