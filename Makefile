# Two commands on a fresh machine: `make demo`, `make test`. Needs Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
# Every cell is a process: without compiled files each would compile torch and the rest anew.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help setup demo test test-slow test-gpu check format lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready  ## the environment in .venv, as pinned in requirements.lock

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: .venv/ready  ## the whole line on three sample products, in the folder demo/
	PATH="$(CURDIR)/$(BIN):$$PATH" inspectline demo demo

test: .venv/ready  ## style, types and all quick tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ruff check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mypy ad_models tasks flows
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/ready  ## tests of minutes, on real images where they are found
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m slow

test-gpu: .venv/ready  ## tests that need a CUDA device
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m gpu

format: .venv/ready  ## lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/ready  ## pin the newest packages that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean:  ## remove the environment and the demo
	rm -rf .venv demo
