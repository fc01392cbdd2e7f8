# Everything runs in the project's own .venv, which is made once and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `make run` installs what running needs, `make test` and the like what they need besides.
READY := $(VENV)/.ready
TESTED := $(VENV)/.ready-test
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# TORCH=cpu, TORCH=cu126 and the like: PyTorch's wheels of that kind, from its own index; TORCH=: those of pip's index.
# Where nothing is said, .venv keeps the kind that it has.
TORCH_INDEX := https://download.pytorch.org/whl
TORCH_NOW := $(shell cat $(VENV)/.torch 2>/dev/null)
TORCH ?= $(TORCH_NOW)
OTHER_TORCH := $(if $(filter-out x$(TORCH_NOW),x$(strip $(TORCH))),yes)
SIZE := $(if $(filter cpu,$(TORCH)),about 1.1 GB (estimated) with torch for processors alone,about 6.0 GB with torch for NVIDIA GPUs; without a GPU: make TORCH=cpu $(MAKECMDGOALS))
ifdef OTHER_TORCH
.PHONY: $(READY)
endif

# A Python that has torch already will do for gpu-check: the one that is named, else .venv's, else python3.
NAMED := $(findstring command line,$(origin PYTHON))
CHECKER := $(if $(NAMED),$(PYTHON),$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)))

.DEFAULT_GOAL := help
.PHONY: help run test test-slow soak gpu-check source-check lint format docs clean

help:  ## list what one can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(READY)  ## the whole pipeline on the embedded sample, from nothing to report.html
	@$(BIN)/luigi --module pipeline RunAll

# Files side by side: the tests of one share what is slow to make. A process takes about 1 GB. In the order of their names:
# files with few tests are the longest, and last they would leave the other processes with nothing to do.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(TESTED)  ## the tests (a few minutes)
	@$(BIN)/pytest $(SIDE_BY_SIDE)

test-slow: $(TESTED)  ## the tests that take longer
	@$(BIN)/pytest -m slow $(SIDE_BY_SIDE)

soak: $(TESTED)  ## kill the sample run again and again, and compare: make soak MINUTES=10 SEED=1
	@$(BIN)/python bench/soak.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE))

gpu-check:  ## what a GPU does with this: right, how fast, memory (8 minutes; any Python with torch: PYTHON=...)
	@$(CHECKER) -m bench.gpu_check

source-check: $(READY)  ## ask every address of the catalog whether it still has its file: a table for an issue
	@$(BIN)/python -m pipeline sources --check

lint: $(TESTED)  ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(TESTED)  ## put the code into shape
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

docs: $(TESTED)  ## rewrite docs/reference.md from the code
	@$(BIN)/python docs/generator/reference.py > docs/.reference.md
	@mv docs/.reference.md docs/reference.md

clean:  ## remove .venv (results in data/artifacts stay)
	rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"error: $(PYTHON) is Python {v[0]}.{v[1]}; 3.11 to 3.13 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo '$(TORCH)' | grep -qE '^(cpu|cu[0-9]+)?$$' || { echo "error: TORCH=$(TORCH): expected cpu, cu126 and the like: a folder of $(TORCH_INDEX)"; exit 1; }
	@echo "Setting up $(VENV), once: $(SIZE) ..."
	@rm -f $(READY) $(TESTED)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(if $(OTHER_TORCH)$(TORCH),$(INSTALL) $(if $(TORCH),--index-url $(TORCH_INDEX)/$(TORCH)) $(if $(OTHER_TORCH),--force-reinstall) --no-deps torch torchvision)
	@$(if $(OTHER_TORCH),$(BIN)/python -m pip freeze | grep -oE '^(nvidia-|cuda-|triton)[^= ]*' | xargs -r $(BIN)/python -m pip uninstall --yes --quiet)
	@$(INSTALL) --editable .
	@echo '$(TORCH)' > $(VENV)/.torch
	@touch $(READY)

$(TESTED): $(READY)
	@echo "Adding to $(VENV) what the tests need, once: about 0.2 GB ..."
	@$(INSTALL) --editable '.[test]'
	@touch $(TESTED)
