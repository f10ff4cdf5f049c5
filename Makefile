# Every target sets itself up in .venv, demo in .venv-demo; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := .venv-demo
DEMO_STAMP := $(DEMO)/.installed
LAYOUT := build/layout

PYTHON_FILES := appid_manager_client integrations tests benchmarks examples noxfile.py docs/conf.py

.PHONY: demo test test-page nox lowest lint types docs bench bench-large soak clean

demo: $(DEMO_STAMP)
	$(DEMO)/bin/appid-manager demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile $(PYTEST_ARGS)

# The page in Chromium, which has to be there (Debian: apt-get install chromium).
test-page: $(STAMP)
	CI=true $(BIN)/python -m pytest tests/service/pages $(PYTEST_ARGS)

# On every Python that pyproject.toml names and this machine has.
nox: $(STAMP)
	$(BIN)/nox $(NOX_ARGS) -- $(PYTEST_ARGS)

# With the lowest version of each dependency.
lowest: $(STAMP)
	$(BIN)/nox -s lowest -- $(PYTEST_ARGS)

lint: $(STAMP) types
	$(BIN)/black --check --quiet $(PYTHON_FILES)
	$(BIN)/flake8 $(PYTHON_FILES)

# mypy doesn't know package-dir: it gets the package as an installation has it, integrations inside.
# What is in rejected.py must be refused: a test of its own checks that.
types: $(STAMP)
	rm -rf $(LAYOUT) && mkdir -p $(LAYOUT)
	cp -R appid_manager_client tests benchmarks $(LAYOUT)/
	cp -R integrations $(LAYOUT)/appid_manager_client/
	rm $(LAYOUT)/tests/typing/rejected.py
	cd $(LAYOUT) && $(CURDIR)/$(BIN)/python -m mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache -p appid_manager_client -p tests -p benchmarks

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -n -b html docs build/docs

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-large: $(STAMP)
	$(BIN)/python -m benchmarks --large $(BENCH_ARGS)

soak: $(STAMP)
	$(BIN)/python -m tests.soak.leases
	$(BIN)/python -m tests.soak.queued_tasks
	$(BIN)/python -m tests.soak.pool_hours
	$(BIN)/python -m tests.soak.replicas
	$(BIN)/python -m tests.soak.line
	$(BIN)/python -m tests.soak.line --sqlite
	$(BIN)/python -m pytest --replicas --numprocesses 2 --dist loadfile \
		tests/contract tests/properties tests/chaos tests/field tests/unit/pool
	$(BIN)/python -m pytest --hypothesis-profile soak --timeout 3600 tests/properties

clean:
	rm -rf $(VENV) $(DEMO) .nox build dist *.egg-info .mypy_cache .pytest_cache .hypothesis .coverage

# What the demo needs and no more. Not compiled: the demo uses a small part of it.
$(DEMO_STAMP): pyproject.toml
	@echo "Setting up $(DEMO), once: half a minute, and about 20 MB to download."
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --disable-pip-version-check --no-compile -e ".[server]"
	touch $@

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@
