# Two commands on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPHINX := $(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going \
  --nitpicky --quiet
CODE := distill_jax experiments benchmarks tests docs

.PHONY: quickstart test test-all docs docs-links accelerator lint format clean

quickstart: $(VENV)/.experiments
	$(BIN)/python experiments/distill.py \
	  --config=experiments/configs/sldd.py --workdir=runs/quickstart

# A process for each core, which takes tests from the other when it runs out.
test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

test-all: $(VENV)/.test-all
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal \
	  -m "slow or not slow"

# The site in docs/_build/html, and the code of its pages that takes longer.
docs: $(VENV)/.docs
	$(SPHINX) -b html docs docs/_build/html
	$(BIN)/python -m pytest -m docs tests/pages_test.py

# Needs the network; links within the site are checked by `make docs`.
docs-links: $(VENV)/.docs
	$(SPHINX) -b linkcheck docs docs/_build/links

# On a machine whose Python has JAX for its accelerator; nothing is installed.
accelerator:
	PYTHONPATH=. $(PYTHON) benchmarks/accelerator.py --out=runs/accelerator \
	  $(ACCELERATOR)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/yapf --parallel --diff --recursive $(CODE)

# Imports by ruff, everything else by yapf.
format: $(VENV)/.test
	$(BIN)/ruff check --fix --select I .
	$(BIN)/yapf --parallel --in-place --recursive $(CODE)

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build docs/api docs/notebooks \
	  docs/project docs/benchmarks.md

# Each stamp is an installed set of extras; a newer setup.cfg installs again.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.experiments: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[experiments]'
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.test-all: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[all,torch]'
	touch $@

$(VENV)/.docs: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@
