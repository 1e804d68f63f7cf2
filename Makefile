# `make demo` and `make test` are complete on a fresh machine with Python 3.10, 3.11 or 3.12: they make .venv themselves.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,dicom,docs,export,generation,mm
# The stamp's name changes with what it depends on, the place of the checkout included: a second call does nothing.
STAMP := $(VENV)/.installed-$(shell { pwd; cat setup.py pyproject.toml constraints.txt; } | cksum | tr ' ' '-')
# Chosen by running it: a name on PATH may be a shim whose version is not active. `make PYTHON=... test` overrides.
FITS := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.10 python3; do \
	if $$name -c '$(FITS)' >/dev/null 2>&1; then echo $$name; break; fi; done)
# Two workers with one thread each suit two cores; a file stays in one worker, so that its fixtures are made once.
WORKERS ?= 2
TESTS ?=

# In the order written, so that the tests' own summary is the last thing `make test` prints.
.NOTPARALLEL:
.PHONY: help install demo test unit lint types format docs bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

install: $(STAMP) ## make .venv with the package and all its tools

demo: $(STAMP) ## the main job on built-in data: runs/demo/report.html, in ten minutes on two cores
	$(BIN)/monai-place demo --out runs/demo

test: lint types docs unit ## everything that must hold

unit: $(STAMP) ## the tests alone; TESTS=tests/data picks some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

lint: $(STAMP) ## ruff, codespell, and the floors of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## the pages, at docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(STAMP) ## speed and memory, each against a named reference
	$(BIN)/python benchmarks/run.py

clean: ## remove what the other targets made, .venv included
	rm -rf $(VENV) runs build docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(STAMP): | $(BIN)/python
	$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet -c constraints.txt uv
	# Bytecode is made here once: without it, or where Python may not write it, each new process compiles for ten seconds.
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'
	rm -f $(VENV)/.installed-*
	touch $@

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.10, 3.11 or 3.12 with venv was found: install one, or name it with" \
		"make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
