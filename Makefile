# Every target does its own set-up: a fresh clone needs Python 3.11 or later and a package index, nothing else.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.complete

.DEFAULT_GOAL := help
.PHONY: help venv engine demo test coverage test-recovery-kinds test-docker test-images check bench bench-import bench-api bench-qdrant-client bench-docker bench-backup picture clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## the virtual environment in .venv, made with PYTHON=python3

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ragops needs Python 3.11 or later: set PYTHON")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[embedded]' --group dev
	@touch $@

engine: venv  ## the pinned Pulumi engine: downloaded, or built if it cannot be
	@$(BIN)/ragops engine install --or-build > /dev/null

demo: venv engine  ## a tour on real engines in a scratch folder (KEEP=1 leaves it running, RUNTIME=docker in containers)
	$(BIN)/python examples/demo.py

test: venv engine  ## all tests but the whole platform's on Docker and the kinds (ARGS="-k redis" for some)
	$(BIN)/python -m pytest -m 'not platform and not kinds' $(ARGS)

coverage: venv engine  ## the same tests and the kinds, with branches and child processes counted; slower by a third
	$(BIN)/coverage erase
	@code=0; $(BIN)/coverage run -m pytest -m 'not platform' $(ARGS) || code=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report; exit $$code

test-recovery-kinds: venv engine  ## databases with one peculiarity each: backup, restore, equal or refused by name
	$(BIN)/python -m pytest -m kinds tests/recovery_kinds $(ARGS)

test-docker: venv engine  ## all tests on Docker, the whole platform's too: an hour (ARGS="-k upgrade" for some)
	$(BIN)/python -m pytest tests/docker $(ARGS)

test-images:  ## stand-ins for the official images, from Debian's packages, where no registry can be reached
	@tests/docker/images/build.sh

check: venv  ## style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv engine  ## the measurements behind docs/performance.md
	$(BIN)/python bench/run.py

bench-import: venv engine  ## the import of 100,000 collections against psql's \copy
	$(BIN)/python bench/import_json.py

bench-api: venv engine .tools/k6  ## searches per second with k6, alone and through the gateway; ingest
	$(BIN)/python bench/api.py

bench-qdrant-client: venv  ## searches over gRPC and REST on a real cluster of three (RAGOPS_TEST_QDRANT: a Qdrant server)
	$(BIN)/python bench/vector_client.py

bench-docker: venv engine  ## the platform on Docker against the bare Automation API and docker run; loss of a node
	$(BIN)/python bench/containers.py

bench-backup: venv engine  ## recovery points against pg_dump, snapshot downloads, BGSAVE; memory (RUNTIME=docker)
	$(BIN)/python bench/backup.py

.tools/k6:
	@command -v k6 > /dev/null && mkdir -p .tools && ln -sf "$$(command -v k6)" $@ || \
	GOBIN=$(CURDIR)/.tools go install go.k6.io/k6@v1.8.1

picture: venv engine  ## docs/status.svg, `ragops status` of a real run
	$(BIN)/python bench/picture.py

clean:  ## remove what make has made in this checkout (engine and .ragops/ stay)
	rm -rf .venv dist build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
