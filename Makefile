# Two commands on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPHINX := $(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going \
  --nitpicky --quiet
CODE := distill_jax experiments benchmarks tests docs

# Of `make matrix`: Pythons, pins (lowest, newest), and pytest's arguments.
MATRIX_PYTHONS ?= python3.11 python3.12 python3.13
MATRIX_PINS ?= lowest newest
MATRIX_TESTS ?=

.PHONY: quickstart test test-all docs docs-links accelerator wheel matrix lint \
  types coverage bench-compare format clean

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
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal -m docs

# Needs the network; links within the site are checked by `make docs`.
docs-links: $(VENV)/.docs
	$(SPHINX) -b linkcheck docs docs/_build/links

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

# Builds dist/*.whl and dist/*.tar.gz, and tries them in a fresh environment.
wheel: $(VENV)/.release
	$(BIN)/python tests/smoke.py --out=dist

# The tests with the lowest and the newest packages that setup.cfg allows.
matrix: $(VENV)/.release
	$(BIN)/python tests/matrix.py --pythons="$(MATRIX_PYTHONS)" \
	  --pins="$(MATRIX_PINS)" --tests="$(MATRIX_TESTS)"

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

$(VENV)/.release: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[release]'
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

$(VENV)/.docs: setup.cfg | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@
