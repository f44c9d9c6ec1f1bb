# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
ARGS ?=
# Two processes share the files of all tests, in order: the last ones are small, so both end at about the same time.
TWO := -n 2 --dist loadfile --no-loadscope-reorder
# What is started by the hundred is compiled once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.$(if $(findstring --envoy,$(ARGS)),dev,demo)  ## the gateway, an mTLS backend, an OAuth2 issuer and the sample page, on this machine
	@exec $(BIN)/grpcweb-gateway demo $(ARGS)

test: $(VENV)/.dev  ## every test, a real browser included (ARGS="-k name" for some)
	@VENV=$(VENV) tests/setup
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(TWO))

check: $(VENV)/.dev  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## calls per CPU-second, latency, memory (bench/README.md)
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.dev  ## ten minutes of calls while certificates, keys, configuration and backends change (soak/README.md)
	$(BIN)/python -m soak $(ARGS)

envoy: $(VENV)/.dev  ## render envoy/ again, after a change of envoy/gateway.yaml (envoy/README.md)
	$(BIN)/python envoy/render.py

protos: $(VENV)/.dev  ## compile protos/ again
	$(BIN)/python protos/compile.py

lock: $(VENV)/.dev  ## resolve the dependencies anew into requirements/
	$(BIN)/python requirements/lock.py $(ARGS)

clean:  ## remove everything that was made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/browser/clients/node_modules tests/browser/clients/dist

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install python3, or say PYTHON=/path/to/python3.11"; exit 1; }
	@requirements/venv "$(PYTHON)" "$(VENV)"

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/pip
	@requirements/install "$(VENV)" requirements/demo.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/pip
	@requirements/install "$(VENV)" requirements/dev.txt
	@touch $(VENV)/.demo $@

.PHONY: help demo test check bench soak envoy protos lock clean
