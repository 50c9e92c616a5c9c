# `make demo` and `make test` need Python 3.11 or newer, make and a package index; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := $(INSTALL) --require-hashes --requirement
ITSELF := $(INSTALL) --no-deps --no-build-isolation --editable .

.PHONY: demo test check docs bench lock clean
.DEFAULT_GOAL := demo

demo: .venv/.demo
	@rm -rf demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/flights.sh demo

test: check docs
	$(BIN)/python tests/e2e/services.py --install
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

check: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

docs: .venv/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/.bench
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# Read by people, installed by pip: hashes for every platform and Python 3.11 to 3.13, no address of an index.
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links
lock: .venv/.venv
	$(INSTALL) "uv>=0.9"
	$(COMPILE) pyproject.toml --group build --group test --group lint --group docs --group bench --output-file requirements/bench.txt
	$(COMPILE) pyproject.toml --group build --group test --group lint --group docs --constraint requirements/bench.txt --output-file requirements/test.txt
	$(COMPILE) pyproject.toml --constraint requirements/bench.txt --output-file requirements/runtime.txt
	$(COMPILE) --group build --constraint requirements/bench.txt --output-file requirements/build.txt
	$(COMPILE) requirements/example-data.in --no-deps --output-file requirements/example-data.txt

clean:
	rm -rf .venv demo site .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Limnos needs Python 3.11 or newer; try: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: .venv/.venv pyproject.toml hatch_build.py $(wildcard src/limnos/sources/*/*.c) requirements/runtime.txt requirements/build.txt requirements/example-data.txt
	$(LOCKED) requirements/runtime.txt --requirement requirements/build.txt
	$(LOCKED) requirements/example-data.txt --no-deps --no-build-isolation
	$(ITSELF)
	@touch $@

.venv/.test: .venv/.demo requirements/test.txt
	$(LOCKED) requirements/test.txt
	@touch $@

.venv/.bench: .venv/.demo requirements/bench.txt
	$(LOCKED) requirements/bench.txt
	@touch $@
