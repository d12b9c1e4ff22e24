# make run    set up and start the server at http://localhost:8000 (MODEL=local: a real model)
# make check  within a minute: lint, types, and the core by itself, of the server and of the page
# make test   set up and pass every check and test
# make faults cut, kill and storm the server (ROUNDS=100), and count what was lost
# make bench  measure it beside its peers

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
NPM := npm ci --no-audit --no-fund --loglevel=error

# Most tests wait more than they compute, so there may be more processes than cores. Each takes one
# file at a time, whose tests may share a server; tests/conftest.py puts the longest files first.
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
# Else each process that a test starts would compile the server again.
unexport PYTHONDONTWRITEBYTECODE
CORE := tests/core tests/config tests/models/test_fitting.py tests/test_architecture.py tests/test_docs.py

.PHONY: run test check lint faults bench clean

run: .venv/run node_modules/.run $(if $(filter local,$(MODEL)),.venv/local)
	@exec $(BIN)/python -m realtime

check: lint
	$(BIN)/python -m pytest $(CORE)
	node --test tests/client/reducer.test.js

test: lint .venv/local
	@said=$$(mktemp); node --test tests/client/*.test.js >$$said 2>&1 & page=$$!; \
	$(BIN)/python -m pytest $(PARALLEL); server=$$?; \
	wait $$page; page=$$?; cat $$said; rm -f $$said; exit $$((server | page))

faults: .venv/dev node_modules/.dev
	$(BIN)/python -m tests.faults --rounds $(or $(ROUNDS),100)

bench: .venv/dev node_modules/.dev
	$(BIN)/python -m bench
	$(BIN)/python -m bench.workers

lint: .venv/dev node_modules/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements.txt constraints.txt
	$(PIP) -r requirements.txt
	@touch $@

.venv/dev: .venv/run requirements-dev.txt requirements-mcp.txt requirements-traces.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.venv/local: .venv/bin/python requirements-local.txt
	$(PIP) --no-deps -r requirements-local.txt
	@touch $@

# The tests' npm packages are a superset of the page's.
node_modules/.run: package-lock.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer is needed for the page's modules: https://nodejs.org" >&2; exit 1; }
	@test -e node_modules/.dev -a node_modules/.dev -nt package-lock.json || $(NPM) --omit=dev
	@touch $@

node_modules/.dev: package-lock.json
	$(NPM)
	@touch $@

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache
