# Thin on purpose: the commands themselves are in tox.ini, this file only makes the place where they run.

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench clean

PYTHON ?= python3
PORT ?= 5000
VENV := .venv
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## List these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

demo: $(VENV)/.demo  ## Serve the digits example on http://127.0.0.1:5000 (PORT=... changes the port)
	$(BIN)/modelserve run digits --reload-after-train --port $(PORT)

test: $(VENV)/.tox system  ## Run every check: style, types, tests, the example's tests
	$(BIN)/tox run -q -e lint,types,example,example-torch,tests-floors,tests

lint: $(VENV)/.tox  ## Check style and format
	$(BIN)/tox run -q -e lint

docs: $(VENV)/.tox  ## Build the documentation into site/
	$(BIN)/tox run -q -e docs

bench: $(VENV)/.bench  ## Measure against bare aiohttp handlers, with PEERS=1 other servers too (ARGS=... adds flags)
	$(BIN)/python -m benchmarks$(if $(PEERS),.peers) $(ARGS)

clean:  ## Remove what these targets made
	rm -rf $(VENV) .tox site .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks

# Each stamp is older than what it was made from exactly when it must be made again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("modelserve needs Python 3.11 or newer; $(PYTHON) is %d.%d (PYTHON=... names another)." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@.ci/debian "$(PYTHON) -m ensurepip --version" python3-venv
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tox: $(VENV)/.made
	$(BIN)/pip install -q 'tox>=4.25,<5'
	@touch $@

$(VENV)/.demo: $(VENV)/.made setup.cfg pyproject.toml $(wildcard examples/digits/setup.cfg examples/digits/pyproject.toml)
	$(BIN)/pip install -q -e . -e examples/digits
	@touch $@

$(VENV)/.bench: $(VENV)/.made setup.cfg pyproject.toml
	$(BIN)/pip install -q -U 'pip>=25.1'
	$(BIN)/pip install -q --group bench
	$(BIN)/pip install -q -e .
	@touch $@

# What the tests drive that pip cannot install: a browser for the pages, curl for the commands in the documentation,
# PostgreSQL for the jobs of several servers and Prometheus for the dashboard, of which each run starts its own.
.PHONY: system
system:
	@.ci/debian "chromium --version" chromium
	@.ci/debian "curl --version" curl
	@.ci/debian "ls /usr/lib/postgresql/*/bin/initdb" postgresql
	@.ci/debian "prometheus --version && promtool --version" prometheus
