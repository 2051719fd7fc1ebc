# Two commands on a fresh machine: `make demo`, `make test`. Needs Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin
# Of tests; each takes up to 2.5 GB
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')
# Large parts of packages of which steps import little: compiled when they are first needed
LATER := tests?|testing|moto|cfnlint|mypyc?|pip|setuptools|altair|apprise|_inductor|lexers|benchmarks
LATER := $(LATER)|celery|kombu|asyncssh|prompt_toolkit|graphql|dateparser|cyclopts|rich_rst|wcwidth|physics|_vendor
.DEFAULT_GOAL := help
# Every cell is a process: without compiled files each would compile torch and the rest again.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help setup demo docs pictures test test-quick test-slow test-gpu check format params lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready  ## the environment in .venv, as pinned in requirements.lock

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(BIN)/python -m compileall -qq -j 0 -x '/($(LATER))/' .venv/lib ad_models flows tasks || true  # some are for a newer Python
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: .venv/ready  ## the whole line on three sample products, in the folder demo/
	PATH="$(CURDIR)/$(BIN):$$PATH" inspectline demo demo

docs: .venv/ready  ## these pages as a site, in the folder site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

pictures: demo  ## the pictures of README and pages, from the demo; needs Chromium
	$(BIN)/python docs/make_pictures.py demo docs/pictures

check: .venv/ready  ## style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ad_models tasks flows
	$(BIN)/lint-imports

test: .venv/ready  ## the same and all quick tests, side by side
	$(MAKE) -j2 --output-sync=target check test-quick

test-quick: .venv/ready  ## all quick tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: .venv/ready  ## tests of minutes, on real images where they are found
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m slow

test-gpu: .venv/ready  ## tests that need a CUDA device
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m gpu

format: .venv/ready  ## lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

params:  ## the copy of params.yaml that ships in the package
	cp params.yaml tasks/spec/params.yaml

lock: .venv/ready  ## pin the newest packages that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean:  ## remove the environment, the demo and the site
	rm -rf .venv demo site
