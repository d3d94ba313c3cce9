# Two commands do everything on a bare machine: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What `make demo` needs, and what the tests need beyond it.
BASE := $(VENV)/.base
READY := $(VENV)/.ready
# Empty for the newest versions that pip gives:  make test CONSTRAINTS=
CONSTRAINTS ?= constraints.txt
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))
# Threads that spin while they wait are ten times slower when anything else runs.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint bench torture docs clean

demo: $(BASE)
	$(BIN)/pixelflow train specs/digits.yaml
	$(BIN)/pixelflow eval runs/digits --guidance 1.5
	$(BIN)/pixelflow sample runs/digits --labels 0,1,2,3,4,5,6,7,8,9 --count 60 --guidance 1.5
	@echo "Pictures: grid.png and stages.png in the folder that is named above; those of the training in runs/digits/samples/"

test: $(READY)
	$(BIN)/pytest -n auto --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Longer checks, and the figures in benchmarks/README.md.
bench: $(READY)
	$(BIN)/pytest -n auto -m slow
	$(BIN)/pixelflow train specs/digits.yaml
	$(BIN)/pixelflow train specs/digits-shortcut.yaml
	$(BIN)/pixelflow train specs/shapes_t2i.yaml
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

# Faults injected for real, which takes long; docs/reliability.md holds the table.
torture: $(READY)
	$(BIN)/python -m benchmarks.torture

# The documentation site, in build/docs; builds offline.
docs: $(BASE)
	$(PIP_INSTALL) --editable '.[docs]'
	$(BIN)/python docs/site/build.py build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf $(VENV) build *.egg-info

$(BASE): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pixelflow needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	touch $@

$(READY): $(BASE)
	$(PIP_INSTALL) --editable '.[dev,fid,clip,t5,minilm,perceptual,tensorboard,xformers,float8,diffusers]'
	touch $@
