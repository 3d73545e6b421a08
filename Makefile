# What there is to do; `make help` lists it. Everything runs in a virtual environment made on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
ARGS ?=
# Where it is set, each of some hundred short-lived processes would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev system browser daemons demo run test check audit format bench bench-api bench-console \
	bench-history lock screenshots clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup  ## Start everything with simulated hosts and watch it work (ARGS=--once ends by itself)
	@$(BIN)/python manage.py demo $(ARGS)

run: setup  ## Start PostgreSQL, Redis, web, beat and workers; Ctrl-C stops all
	@$(BIN)/python manage.py run

# Two workers more than cores: half of the tests wait most of the time.
test: setup-dev daemons browser  ## Run the tests (ARGS are pytest's)
	@$(BIN)/pytest -n $$(($$(nproc) + 2)) --dist loadfile --no-loadscope-reorder $(ARGS)

screenshots: setup-dev daemons browser  ## Make the pictures of docs/images again, by walking through the admin
	@NMS_SCREENSHOTS=docs/images $(BIN)/pytest console/tests/test_walk.py -k first_login

check: setup-dev  ## Formatter, linter, types, import contract, migrations, lock
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/lock.py
	@NMS_STATE_DIR=$$(mktemp -d) $(BIN)/python -W ignore manage.py makemigrations --check --dry-run

audit: setup-dev  ## Look for known holes in the packages we depend on
	@sh .ci/audit $(BIN)

format: setup-dev  ## Format the code and fix what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup-dev daemons  ## Measure against the budgets; tables here, JSON in bench/results/ (ARGS name single benchmarks)
	@$(BIN)/python -m bench $(ARGS)

bench-api: setup-dev  ## Measure lists of 50 of 100,000 devices beside 50 clients
	@$(BIN)/python -m bench api

bench-console: setup-dev browser  ## Measure the admin's pages beside 30 days of history (minutes, 10 GB of disk)
	@$(BIN)/python -m bench console

bench-history: setup-dev  ## Measure reading and writing beside 30 days of history (minutes, 40 GB of disk)
	@$(BIN)/python -m bench history

lock: setup-dev  ## Compile requirements*.txt from pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --group dev -c requirements.txt -o requirements-dev.txt

clean:  ## Remove the virtual environment and all embedded data
	@sh .ci/clean $(VENV) .run

setup: system $(READY)  ## Install what running needs

setup-dev: setup $(READY_DEV)  ## Install what the tests and the checks need as well

system:
	@sh .ci/system

# The pages are tested in Debian's Chromium.
browser: setup-dev
	@sh .ci/system chromium

daemons: setup-dev
	@sh .ci/daemons $(VENV)/daemons

$(READY): requirements.txt
	@test -x $(BIN)/pip || sh .ci/venv $(PYTHON) $(VENV)
	@echo "installing the $$(grep -c == requirements.txt) packages of requirements.txt into $(VENV)"
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

# Both files in one command, so that pip keeps what they share at one version.
$(READY_DEV): requirements.txt requirements-dev.txt | $(READY)
	@echo "installing the packages of requirements-dev.txt into $(VENV)"
	@$(PIP_INSTALL) -r requirements.txt -r requirements-dev.txt
	@touch $@
