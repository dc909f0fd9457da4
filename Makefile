# The words for people and for CI. Each makes .venv first when it is missing or requirements.lock
# has changed; that needs Python 3.11 or newer, its venv module, and nothing else. `demo` makes a
# smaller one if there is none: without the tools of developers, which are three quarters of it.

PYTHON ?= python3
UV ?= uv
ARGS ?=
WORKERS ?= 4
BIN := .venv/bin
LOCKED := .venv/.locked
INSTALLED := .venv/.installed
RUNNABLE := .venv/.runnable

# Without bytecode, each worker and each command that the tests start would compile all code again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# Narrowed by ARGS, a word runs what it is given.
PURE := tests/core tests/test_receiver.py tests/config tests/client tests/telemetry tests/encryption/test_cipher.py tests/cli tests/demo
BROWSER := tests/dashboard/browser
CAMPAIGNS := tests/end_to_end/test_campaign.py tests/api/test_conformance.py tests/api/test_changes_under_load.py
CHECKS := tests/repository
CLIENTS := tests/api/test_generated_clients.py tests/api/test_typescript_client.py tests/api/test_node.py
INSTALLING := tests/client/test_installing.py
APART := $(patsubst %,--ignore=%,$(BROWSER) $(CAMPAIGNS) $(CHECKS) $(CLIENTS))
PARALLEL := --numprocesses $(WORKERS) --dist worksteal
COVERED := $(PURE) tests/test_shared_slots.py tests/encryption tests/schema_validation tests/engine tests/transport tests/store tests/services tests/api
PYTEST := $(BIN)/python -m pytest

.PHONY: demo unit test test-shuffled test-browser test-campaign test-clients test-postgres test-python test-debug coverage check fix bench campaign openapi screenshots lock wheel help

demo: $(RUNNABLE)  ## Start database, daemon and a verifying receiver (ARGS="--events 200 --once")
	@$(BIN)/dispatcher demo $(ARGS)

unit: $(INSTALLED)  ## Run the pure tests, without a database, in seconds
	@$(PYTEST) $(or $(ARGS),$(PURE) --ignore=$(INSTALLING))

test: $(INSTALLED)  ## Run the tests against a real PostgreSQL (ARGS="tests/core -k signing" WORKERS=0)
	@$(PYTEST) $(PARALLEL) $(or $(ARGS),-m "not long" $(APART) --ignore=$(INSTALLING))

test-shuffled: SEED = $(shell date +%s)
test-shuffled: $(INSTALLED)  ## Run the tests in another order each time (SEED=1 for one again)
	@$(PYTEST) $(PARALLEL) --shuffle $(SEED) $(or $(ARGS),$(APART))

test-browser: $(INSTALLED)  ## Run the tests of the dashboard in a browser
	@$(PYTEST) --numprocesses 2 --dist loadfile $(or $(ARGS),$(BROWSER))

test-campaign: $(INSTALLED)  ## Run the tests marked long: short campaigns, the demo, faults, load, plans, the fuzzer of the API
	@$(PYTEST) $(or $(ARGS),-m long $(patsubst %,--ignore=%,$(BROWSER) $(CHECKS) $(CLIENTS)))

test-clients: $(INSTALLED)  ## Run the tests of clients and verifiers, installed alone, in TypeScript and in Node (need npm)
	@$(PYTEST) --numprocesses 2 --dist loadfile $(or $(ARGS),$(CLIENTS) $(INSTALLING))

test-postgres: VERSIONS = 14 16 18
test-postgres: $(INSTALLED)  ## Run the tests of store and end_to_end on other PostgreSQLs (needs npm; VERSIONS="14 16 18")
	@$(BIN)/python -m tests.postgres $(OPTIONS) $(VERSIONS) -- \
		$(or $(ARGS),$(PARALLEL) tests/store tests/end_to_end $(patsubst %,--ignore=%,$(CAMPAIGNS)))

test-python: VERSIONS = 3.12 3.13
test-python: $(INSTALLED)  ## Run the tests under other Pythons (VERSIONS="3.12 3.13")
	@$(BIN)/python -m tests.pythons $(VERSIONS) -- \
		$(or $(ARGS),$(PARALLEL) $(APART))

test-debug: $(INSTALLED)  ## Run the tests of engine, transport and services in the debug mode of asyncio
	@PYTHONASYNCIODEBUG=1 $(PYTEST) $(PARALLEL) $(or $(ARGS),tests/engine tests/transport tests/services)

coverage: $(INSTALLED)  ## Measure which lines and branches the tests below the commands run
	@$(PYTEST) $(PARALLEL) --cov --cov-report=term:skip-covered $(if $(ARGS),--cov-fail-under=0) $(or $(ARGS),$(COVERED) $(patsubst %,--ignore=%,$(CAMPAIGNS)))

check: $(INSTALLED)  ## Format, lint, types, import layers, measures, words and documents
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q $(CHECKS)

fix: $(INSTALLED)  ## Format, and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(INSTALLED)  ## Measure speed: each bar with its figure, in less than ten minutes (ARGS="insert latency")
	@$(BIN)/python -m tests.bench $(ARGS)

campaign: $(INSTALLED)  ## Break the daemon and the database under load, and count what was lost
	@$(BIN)/python -m tests.campaign $(ARGS)

openapi: $(INSTALLED)  ## Write dispatcher/api/openapi/openapi.json again, after a change of the API
	@$(BIN)/python -m tests.api.openapi_file

screenshots: $(INSTALLED)  ## Take docs/screenshots again, in Chromium
	@$(BIN)/python -m tests.dashboard.screenshots $(ARGS)

COMPILE := pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet

lock:  ## Write the three requirements files again from pyproject.toml (needs uv; ARGS="--upgrade")
	@$(UV) $(COMPILE) --extra embedded --group dev --output-file requirements.lock $(ARGS)
	@$(UV) $(COMPILE) --constraint requirements.lock --output-file requirements-runtime.lock
	@$(UV) $(COMPILE) --constraint requirements.lock --extra embedded --group build --output-file requirements-demo.lock

wheel: $(INSTALLED)  ## Build dist/*.whl, and remove those of earlier builds
	@rm -rf dist
	@$(BIN)/python -m hatchling build -t wheel

help:  ## Show these words
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-15s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
EDITABLE := $(PIP_INSTALL) --no-build-isolation --editable .

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(EDITABLE)
	@touch $@

# What `demo` has made stays and is added to: its daemon, or one that was started by hand, may run.
$(LOCKED): requirements.lock
	@if [ ! -e $(LOCKED) ] && [ $(RUNNABLE) -nt requirements-demo.lock ]; then \
		echo "Adding the tools of developers to .venv …" >&2; else $(MAKE_VENV); fi
	@$(PIP_INSTALL) --require-hashes --requirement $<
	@touch $@

$(RUNNABLE): requirements-demo.lock pyproject.toml
	@if [ -e $(LOCKED) ]; then $(MAKE) --no-print-directory $(INSTALLED); else \
		$(MAKE_VENV) && $(PIP_INSTALL) --require-hashes --requirement $< && $(EDITABLE); fi
	@touch $@

define MAKE_VENV
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
echo "Making .venv from $< …" >&2; \
$(PYTHON) -m venv --clear .venv
endef
