# Every target works on a fresh machine with Python 3.11+, make and git: it makes its own virtual environment in .venv
# unless one is active.
PYTHON ?= python3
ifdef VIRTUAL_ENV
BIN := $(VIRTUAL_ENV)/bin
else
BIN := .venv/bin
endif
STAMP := $(BIN)/.calcscore-ml-installed
RUN := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test search lint types services bench docs model lock test-newest test-lowest

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "calcscore-ml needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

ifndef VIRTUAL_ENV
$(STAMP): .venv/bin/python
endif
$(STAMP): pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## three real scans scored, with reports; then a digital cohort, training, evaluation
	$(RUN) scripts/demo.py demo-output

# Threads of BLAS beside two workers wait for each other: a thread each is several times as fast.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal -q
test: $(STAMP) ## all tests, two at a time
	$(PYTEST)

search: $(STAMP) ## property tests on new examples, ten times as many
	CALCSCORE_HYPOTHESIS=search $(PYTEST) -m hypothesis

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

services: ## Chromium and PostgreSQL, which some tests need; installs Debian's when they are missing and you are root
	@scripts/services.sh

bench: $(STAMP) ## benchmarks; see benchmarks/README.md
	$(RUN) benchmarks/stages.py
	$(RUN) benchmarks/evaluation.py

docs: $(STAMP) ## the pictures and tables of docs/, made anew
	$(RUN) scripts/picture_phantom.py docs/pictures data/lung-pet-ct-dx-a0001-heart
	$(RUN) scripts/digital_rods.py data/qrm-thorax-phantom 40 docs/pictures/qrm_digital.png

model: $(STAMP) ## train the model that comes with the package
	$(RUN) scripts/build_default_model.py cohorts

lock: $(STAMP) ## constraints.txt anew, with the newest versions; run `make test` before you commit it
	$(RUN) -m pip install --quiet --disable-pip-version-check uv
	$(RUN) -m uv pip compile --quiet --universal --upgrade --no-annotate --no-header --all-extras pyproject.toml -o constraints.txt

# Without constraints.txt, each in an environment of its own, so that .venv stays as it is.
test-newest: ## all tests with the newest versions of everything
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	$(MAKE) test VIRTUAL_ENV=$(CURDIR)/.venv-newest STAMP=pyproject.toml

test-lowest: ## all tests with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/python -m uv pip install --quiet --python .venv-lowest --resolution lowest-direct -e '.[dev]'
	$(MAKE) test VIRTUAL_ENV=$(CURDIR)/.venv-lowest STAMP=pyproject.toml
