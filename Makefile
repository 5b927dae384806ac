# Everything runs in .venv at the root of the project; every verb sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
# Spinning OpenMP threads starve each other on busy cores; this must be set before Python starts.
export OMP_WAIT_POLICY := passive
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test test-all check format bench docs setup system web web-check clean

demo: setup  ## real network, real photos → demo/report.html, and the page (DEMO=--no-serve: without)
	$(BIN)/convscope demo --out demo $(DEMO)

test: check system  ## everything that a change must pass
	$(ONE_THREAD) $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not heavy"

test-all: check system  ## also what takes long, and laws on new examples
	$(ONE_THREAD) $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder --hypothesis-profile searching

check: setup web-check  ## style, types, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup system  ## the numbers that the docs quote
	$(ONE_THREAD) $(BIN)/python -m benchmarks

docs: setup system  ## the generated pages of docs/ and the pictures of the README
	$(BIN)/convscope demo --out demo --no-serve
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.rotation
	$(BIN)/python -m docs.all_cnn

setup: web

web: .venv/ready  ## the page of `convscope serve`, built again if web/ has changed
	$(BIN)/python hatch_build.py

web-check: web  ## types and tests of the page; Node comes with the packages
	$(BIN)/python hatch_build.py check test

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv || { $(AS_ROOT) apt-get update && $(AS_ROOT) apt-get install -y python3-venv && $(PYTHON) -m venv .venv; }
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

system:  ## a browser for the tests of the pages
	@command -v chromium >/dev/null || { $(AS_ROOT) apt-get update -q && $(AS_ROOT) apt-get install -y -q chromium fonts-dejavu-core fonts-inter; }

clean:
	rm -rf .venv demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis web/node_modules convscope/faces/web/built
