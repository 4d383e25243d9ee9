# augmint: `make help` says what there is.
PYTHON ?= python3
VENV   ?= .venv
PEERS  ?= python
BIN    := $(VENV)/bin
SHELL  := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types unit test-peers test-encoder-docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Make the environment in .venv (pinned versions, CPU is enough)

$(VENV)/.ready: pyproject.toml requirements/core.txt requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/core.txt -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## The main job on scikit-learn's digits: 10 labels a class, three minutes on 2 cores
	$(BIN)/augmint run digits --labels-per-class 10 --seed 1 --preset demo --out runs/demo

test: setup ## Lint, types and tests, side by side
	@$(MAKE) --no-print-directory -j2 lint types unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-peers: ## Load minted images with torchvision, datasets and webdataset: PEERS=python that has them and augmint
	$(PEERS) -m pytest -q -p no:cacheprovider -o addopts= -o filterwarnings=default tests/peers/check_minted_formats.py

test-encoder-docs: ## Run the blocks of docs/encoder.md: PEERS=python that has torchvision, timm and augmint
	$(PEERS) tests/golden/make_backbones.py --docs

clean: ## Remove the environment and the demo's run
	rm -rf $(VENV) runs/demo
