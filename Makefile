# `make quickstart` and `make test` are all a newcomer needs: both make the environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-all format lint types bench notebooks clean

# Plain PyPI packages, no compiler. torch and torchvision come together: they must be a matching pair.
$(VENV)/.ready: setup.cfg pyproject.toml
	@if $(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))'; then :; \
	else echo "Python 3.10 to 3.14 is needed; say which one: make PYTHON=python3.11 ..."; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --progress-bar on -e ".[dev]"
	touch $@

quickstart: $(VENV)/.ready  ## the whole loop on bundled photographs: trees, training, NoC before and after, pictures
	$(BIN)/mis quickstart

test: $(VENV)/.ready  ## the default suite, under 5 minutes on 2 cores
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: $(VENV)/.ready  ## the default suite and the tests that need minutes
	$(BIN)/python -m pytest -n 2 --dist worksteal

format: $(VENV)/.ready  ## rewrite the code in its one style
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(VENV)/.ready
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy

bench: $(VENV)/.ready  ## timings against peers, and which goals are reached
	mkdir -p runs && $(BIN)/mis bench all --json runs/bench.json

notebooks: $(VENV)/.ready  ## run the notebooks and render them into docs/notebooks
	$(BIN)/jupyter nbconvert --execute --to markdown --output-dir docs/notebooks notebooks/*.ipynb

clean:
	rm -rf runs build *.egg-info .pytest_cache .ruff_cache .mypy_cache
