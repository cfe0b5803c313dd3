# SPDX-License-Identifier: GPL-2.0-only
#
# Every target works alone from a fresh clone: the stamp makes the virtual environment once, and
# again only when the dependencies in pyproject.toml change.

PYTHON ?= python3
CPUS ?= 8
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.mmsim-installed

# Layout is checked where it is ordinary Python. In the kernel dialect line breaks carry meaning
# (one C statement, one Python statement, both sides of a patch adjacent) and are kept by hand.
FORMATTED := conftest.py tests mmsim/run.py mmsim/errors.py mmsim/pytest_plugin.py \
	mmsim/scenarios/api.py mmsim/scenarios/cast.py mmsim/scenarios/own_file.py mmsim/scenarios/registry.py \
	mmsim/scenarios/small.py mmsim/scenarios/sequencer.py mmsim/scenarios/setup.py \
	$(wildcard $(addprefix mmsim/,engine detect stress report cli claims ablation exploration litmus native play proofs rare)) \
	$(filter-out mmsim/labs/zone.py,$(wildcard mmsim/labs/*.py)) $(wildcard mmsim/labs/lab?/__init__.py)

# Compiled code is kept even where the environment says not to: tests start hundreds of processes,
# and each of them would compile all of mmsim, which takes longer than what most of them do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help stress test slow browser picture lint format fast bench bench-search clean

help:
	@echo 'make stress   reproduce the races: python -m mmsim.stress --cpus $(CPUS)'
	@echo 'make test     ruff, mypy and the regression suite'
	@echo 'make slow     the tests that take longer than that'
	@echo 'make browser  the tests that need a Chromium;  make picture  takes docs/page.png anew'
	@echo 'make lint     ruff and mypy only;  make format  rewrites the layout'
	@echo 'make fast     compile the search, which has the same executions in less time'
	@echo 'make bench    speed of the engine and of every scenario'
	@echo 'make bench-search  what finds first, and how fast, beside frontrun (BENCH=... options)'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mmsim needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

stress: $(STAMP)
	$(BIN)/python -m mmsim.stress --cpus $(CPUS)

test: lint
	$(BIN)/python -m pytest -n auto --dist worksteal

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --timeout 1800

BROWSER := $(VENV)/.mmsim-browser

$(BROWSER): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@touch $@

browser: $(BROWSER)
	$(BIN)/python -m pytest -m browser -rs tests/browser

picture: $(BROWSER)
	MMSIM_PICTURE=1 $(BIN)/python -m pytest -m browser tests/browser/test_picture.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check $(FORMATTED)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format $(FORMATTED)

fast: $(STAMP)
	$(BIN)/python -m mmsim compile

bench: $(STAMP)
	$(BIN)/python -m mmsim bench

bench-search: fast
	$(BIN)/python benchmarks/search.py $(BENCH)

clean:
	rm -rf $(VENV) build dist mmsim/native/built .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
