# Every target sets itself up in .venv; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LAYOUT := build/layout

.PHONY: demo test lint bench soak clean

demo: $(STAMP)
	$(BIN)/appid-manager demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/black --check --quiet appid_manager_client integrations tests benchmarks examples
	$(BIN)/flake8 appid_manager_client integrations tests benchmarks examples
# mypy doesn't know of package-dir: it gets the package as an installation has it, integrations inside.
	rm -rf $(LAYOUT) && mkdir -p $(LAYOUT)
	cp -R appid_manager_client $(LAYOUT)/ && cp -R integrations $(LAYOUT)/appid_manager_client/
	cd $(LAYOUT) && $(CURDIR)/$(BIN)/python -m mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache --strict -p appid_manager_client

bench: $(STAMP)
	$(BIN)/python -m benchmarks

soak: $(STAMP)
	$(BIN)/python -m tests.soak.leases
	$(BIN)/python -m tests.soak.queued_tasks
	$(BIN)/python -m tests.soak.pool_hours

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .hypothesis .coverage

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@
