# Everything runs in the project's own .venv, which is made once and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help run test test-slow soak lint format docs clean

help:  ## list what one can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(READY)  ## the whole pipeline on the embedded sample, from nothing to report.html
	@$(BIN)/luigi --module pipeline RunAll

test: $(READY)  ## the tests (a few minutes)
	@$(BIN)/pytest

test-slow: $(READY)  ## the tests that take longer
	@$(BIN)/pytest -m slow

soak: $(READY)  ## kill the sample run again and again, and compare: make soak MINUTES=10 SEED=1
	@$(BIN)/python bench/soak.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE))

lint: $(READY)  ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## put the code into shape
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

docs: $(READY)  ## rewrite docs/reference.md from the code
	@$(BIN)/python docs/generator/reference.py > docs/.reference.md
	@mv docs/.reference.md docs/reference.md

clean:  ## remove .venv (results in data/artifacts stay)
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"error: $(PYTHON) is Python {v[0]}.{v[1]}; 3.11 to 3.13 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Setting up $(VENV) (torch and its libraries: up to about 5.6 GB; once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $(READY)
