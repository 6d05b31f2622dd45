# Two commands on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := distill_jax experiments benchmarks tests

.PHONY: quickstart test test-all accelerator lint format clean

quickstart: $(VENV)/.experiments
	$(BIN)/python experiments/distill.py \
	  --config=experiments/configs/sldd.py --workdir=runs/quickstart

# A process for each core, which takes tests from the other when it runs out.
test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

test-all: $(VENV)/.test-all
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal \
	  -m "slow or not slow"

.PHONY: types coverage bench-compare

# The package, and a user's program against it.
types: $(VENV)/.types
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# Lines that run in launchers count too; setup.cfg has the least share.
coverage: $(VENV)/.coverage
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal \
	  --cov --cov-config=setup.cfg

# Ratios of this machine against the stored ones; nothing else may run.
bench-compare: $(VENV)/.test
	$(BIN)/python benchmarks/compare.py $(COMPARE)

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
	rm -rf $(VENV) build dist *.egg-info

# Each stamp is an installed set of extras; a newer setup.cfg installs again.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.experiments: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[experiments]'
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.types: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test,types]'
	touch $@

$(VENV)/.coverage: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test,coverage]'
	touch $@

$(VENV)/.test-all: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[all,torch]'
	touch $@
