# One command each; .ci/run and the documentation call the same. `make help` lists them.

PYTHON ?= python3
BACKEND ?= auto
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench fuzz e2e clean

help:  ## list the commands
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## make .venv with everything in it (BACKEND=auto|cpu|cuda|metal|vulkan); quick when nothing changed
	@$(PYTHON) engines/build.py --venv .venv --backend $(BACKEND)

demo: setup  ## see it work: a private daemon, real completions with their times, gone afterwards
	@$(BIN)/python -m daemon.cli.demo

test: setup  ## every test but those that drive real editors
	$(BIN)/python -m pytest

check: setup  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## measure on this machine: idle cost, small commands, the path of a keystroke, the engine's steps
	$(BIN)/python -m tests.bench.idle
	$(BIN)/python -m tests.bench.editor_path
	$(BIN)/python -m tests.bench.editor_path --saturate
	$(BIN)/python -m tests.bench.engine_steps

fuzz: setup  ## try thousands of new examples on every property (minutes)
	HEARTH_HYPOTHESIS=fuzz $(BIN)/python -m pytest tests/engines tests/policies tests/lsp -m slow
	$(BIN)/python -m tests.fuzz.hostile --count 10000

e2e: setup  ## drive real editors (they are fetched by tests/e2e/setup_editors.py the first time)
	$(BIN)/python tests/e2e/setup_editors.py
	HEARTH_E2E=1 $(BIN)/python -m pytest tests/e2e -m e2e

clean:  ## remove what the commands above made, except the compiled llama.cpp in the cache folder
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
