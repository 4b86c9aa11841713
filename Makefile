# Everything runs inside .venv, which `make` creates; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
RUNTIME := .venv/.runtime
DEV := .venv/.dev

.PHONY: figures test lint clean
figures: $(RUNTIME)
	$(BIN)/python -m colarepro.figures all

test: $(DEV)
	$(BIN)/python -m pytest -q -n auto

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv

$(RUNTIME): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) .
	touch $@

$(DEV): $(RUNTIME)
	$(INSTALL) '.[dev]'
	touch $@
