# The two commands that matter are `make demo` and `make test`; `make help` lists the rest.
# Everything is installed into .venv; an install runs again only when pyproject.toml or constraints.txt has changed.

VENV := .venv
BIN := $(VENV)/bin
CREATED := $(VENV)/.created
FOR_DEMO := $(VENV)/.installed-for-demo
FOR_TEST := $(VENV)/.installed-for-test

# The first Python on the PATH that is new enough.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SAMPLE ?= docs/samples/made-1-dog.question.ogg
RECIPE ?= mini
# Test files run in so many processes at once, of one thread each.
WORKERS ?= 2
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint weights clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(FOR_DEMO)  ## install, fetch the weights and answer a sample recording (SAMPLE=FILE for your own)
	@test -f "$(SAMPLE)" || { echo "make demo: no recording at '$(SAMPLE)'; name one with SAMPLE=FILE" >&2; exit 2; }
	$(BIN)/harken weights pull --recipe $(RECIPE)
	$(BIN)/harken reply "$(SAMPLE)" --recipe $(RECIPE) --out out/demo

test: $(FOR_TEST)  ## install what the tests need, fetch the weights and run the tests (PYTEST_ARGS=… to choose)
	$(BIN)/harken weights pull --recipe mini
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: $(FOR_TEST)  ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(FOR_DEMO)  ## fetch the weights of RECIPE (mini) only
	$(BIN)/harken weights pull --recipe $(RECIPE)

clean:  ## remove .venv, what the tools cached and what the demo wrote; fetched weights and runs stay
	rm -rf $(VENV) build dist out/demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@test -n "$(PYTHON)" || { echo "make: Harken needs Python 3.11 or newer; name one with PYTHON=…" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(FOR_DEMO): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL) --editable '.[kokoro]'
	@touch $@

# Everything that the tests exercise; it holds what the demo needs.
$(FOR_TEST): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL) --editable '.[kokoro,units,train,data,eval,serve,dev]'
	@touch $@ $(FOR_DEMO)
