# Each target does its own set-up in .venv and can be run again.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := core cli $(wildcard plugins/*)
PROJECTS := $(addsuffix /pyproject.toml,$(PACKAGES))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
AREA ?=

.PHONY: demo test bench docs lint format dist clean

demo: .venv/.runtime
	@mkdir -p out
	$(BIN)/initkit apply --plugin gnn examples/gnn.py --dry-run
	$(BIN)/initkit apply --plugin gnn examples/gnn.py -o out/gnn.safetensors --force

# One thread a process: two processes share the cores, and threads that wait for each other would take them.
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

bench: .venv/.bench
	$(BIN)/python -m benchmarks $(AREA)

docs: .venv/.dev
	$(BIN)/python docs/_make/build.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Wheels and source archives of all packages, as they would be published.
dist: .venv/.dev
	rm -rf dist
	for package in $(PACKAGES); do $(BIN)/python -m build --no-isolation --outdir dist $$package || exit 1; done
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf .venv out dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The build backend goes in first: editable installs without build isolation are several times faster.
.venv/.runtime: constraints.txt $(PROJECTS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation $(addprefix --editable ./,$(PACKAGES))
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(PIP) --requirement requirements-dev.txt
	@touch $@

.venv/.bench: .venv/.dev requirements-bench.txt
	$(PIP) --requirement requirements-bench.txt
	@touch $@
