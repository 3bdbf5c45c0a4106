# All that is needed is a Python of 3.11 or later; everything else goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# How many processes run the tests; each computes on one core.
WORKERS ?= auto
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint docs clean

help:
	@echo "make demo     make a corpus, train on it, compare tuned with base vectors"
	@echo "make test     lint, check the types and run the tests (they need Chromium)"
	@echo "make lint     lint and check the types only"
	@echo "make docs     build the site of the docs in site/"
	@echo "make install  make .venv with the package and the versions of constraints.txt"
	@echo "make clean    remove what the other targets made, but for .venv"
	@echo "PYTHON=...    the Python that .venv is made with, here: $(PYTHON)"

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m spacy project run all .

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# The reference is made from the code each time; --strict makes an error of each warning.
docs: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	$(BIN)/python scripts/make_reference.py docs/reference
	$(BIN)/python -m zensical build --clean --strict

clean:
	rm -rf site .cache docs/reference
	rm -rf corpus training metrics project.lock build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -type d -prune -exec rm -rf {} +

# Written last, so that an installation that broke off is taken up again.
$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[offline,dev]"
	touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No python3 found: set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
