# All that is needed is a Python of 3.11 to 3.13; everything else goes into .venv.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c pass 2>/dev/null && command -v $$name && break; done)
VENV := .venv
# How many processes run the tests; each computes on one core.
WORKERS ?= auto
BIN := $(VENV)/bin
# An empty file says that an installation is complete. The demo needs few packages, the tests many.
DEMO := $(VENV)/.installed-demo
DEV := $(VENV)/.installed-dev
SETUP := setup.cfg setup.py pyproject.toml constraints.txt

CURE = Install Python 3.11, 3.12 or 3.13, and name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint docs clean

help:
	@echo "make demo       make a corpus, train on it, compare tuned with base vectors"
	@echo "make test       lint, check the types and run the tests (they need Chromium)"
	@echo "make test-fast  run the tests that are quick, in less than two minutes"
	@echo "make lint       lint and check the types only"
	@echo "make docs       build the site of the docs in site/"
	@echo "make install    make .venv with the package and the versions of constraints.txt"
	@echo "make clean      remove what the other targets made, but for .venv"
	@echo "PYTHON=...      the Python that .venv is made with, here: $(PYTHON)"

install: $(DEV)

# A step that was finished is not repeated, and vectors that were computed are kept in vectors/. So
# a demo that was interrupted goes on.
demo: $(DEMO)
	$(BIN)/python -m spacy project run all .

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-fast: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(DEV)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# The reference is made from the code each time; --strict makes an error of each warning.
docs: $(DEV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	$(BIN)/python scripts/make_reference.py docs/reference
	$(BIN)/python -m zensical build --clean --strict

clean:
	rm -rf site .cache docs/reference
	rm -rf corpus training metrics vectors project.lock build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -type d -prune -exec rm -rf {} +

# The files are made last, so that an installation that broke off is taken up again.
$(DEMO): $(SETUP) | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[offline,plot]"
	touch $@

$(DEV): $(SETUP) | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[offline,dev]"
	touch $(DEMO) $@

# venv makes bin/python before it is finished, so what it left behind is removed when it fails.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "There is no Python. $(CURE)"; exit 1; }
	@"$(PYTHON)" -c pass 2>/dev/null || { echo "$(PYTHON) cannot be run. $(CURE)"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1), which is not supported. $(CURE)"; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
