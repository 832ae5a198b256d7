# Every target sets itself up in .venv, once; it installs again when pyproject.toml or constraints.txt changes.
#   another interpreter       make test PYTHON=python3.12
#   arguments for pytest      make test ARGS="-k corridor"
#   arguments for benchmarks  make bench ARGS="--rounds 1" KERAS_PYTHON=../keras-venv/bin/python

PYTHON ?= python3
ARGS ?=
KERAS_PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two pytest workers share the cores: a thread each, or they spend their time waiting for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)
BENCHMARKS := startup input augment convolution gradcam activations filters compiled train_photographs train_speed fastest

unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all lint format docs bench oracles clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | while IFS='	' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(INSTALLED)  ## train on the embedded digits, evaluate, explain, write the card: under a minute after the set-up
	@$(BIN)/striate demo

test: $(INSTALLED)  ## the ordinary tests: a few minutes on two cores
	@$(PYTEST) $(ARGS)

test-slow: $(INSTALLED)  ## the tests that take minutes each: kills and resumes, whole trainings
	@$(PYTEST) -m 'slow and not oracle' $(ARGS)

test-all: $(INSTALLED)  ## every test; those whose oracle or data is absent are skipped, with the reason
	@$(PYTEST) -m '' $(ARGS)

lint: $(INSTALLED)  ## style, format, types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

format: $(INSTALLED)  ## put every file in the house's format
	@$(BIN)/python -m ruff check --fix-only .
	@$(BIN)/python -m ruff format .

docs: $(INSTALLED)-docs  ## the documentation as HTML, in docs/_build/html
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "Read docs/_build/html/index.html"

bench: $(INSTALLED)  ## side-by-side measurements; tables here, JSON in benchmarks/results/
	@for name in $(BENCHMARKS); do \
	    case $$name in train_speed|fastest) keras='$(if $(KERAS_PYTHON),--keras-python $(KERAS_PYTHON))';; *) keras=;; esac; \
	    $(BIN)/python benchmarks/$$name.py --json benchmarks/results/$$name.json $$keras $(ARGS) || exit 1; done

oracles: $(INSTALLED)-oracles  ## independent implementations to test against, beside the CPU build of torch
	@echo "Installed. \`make test-all\` compares with them."

clean:  ## remove what was built here; .venv stays
	@rm -rf build dist docs/_build docs/reference striate.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Striate needs Python 3.11 or newer, and '$(PYTHON) -V' says: $$($(PYTHON) -V 2>&1 | tail -1)" >&2; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "'$(PYTHON)' can't make virtual environments: its venv module is missing." >&2; \
	    echo "On Debian and Ubuntu: apt install python3-venv. Or name another one: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    echo "Setting up $(VENV) with $$($(PYTHON) -V) (once)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "1/2  $(TORCH)"
	@$(PIP) install -c constraints.txt '$(TORCH)' || $(explain)
	@echo "2/2  striate and its tools; about a minute"
	@$(PIP) install -q -c constraints.txt -e '.[dev]' || $(explain)
	@touch $@

$(INSTALLED)-docs: $(INSTALLED)
	@echo "Installing what builds the documentation (once)"
	@$(PIP) install -q -c constraints.txt -e '.[docs]' || $(explain)
	@touch $@

# Without their dependencies: torchvision and timm would bring another build of torch.
$(INSTALLED)-oracles: $(INSTALLED)
	@echo "Installing torchvision, timm, pytorchcv, Captum, Keras and ONNX Runtime (once)"
	@$(PIP) install -q --no-deps -c constraints.txt torchvision timm pytorchcv captum || $(explain)
	@$(PIP) install -q -c constraints.txt keras pyyaml huggingface_hub tqdm onnx onnxscript onnxruntime || $(explain)
	@touch $@

define explain
{ echo "pip failed, for the reason above. What is installed so far is kept in $(VENV): run make again to go on." >&2; \
  echo "Striate is tested with the versions in constraints.txt, on CPython 3.11 and Linux; torch has no build for every Python." >&2; exit 1; }
endef
