# Every target does its own set-up: a fresh clone needs Python 3.11 or later and a package index, nothing else.

PYTHON ?= python3
ARGS ?=
WORKERS ?= 4
CAMPAIGN ?= full
PARALLEL = -n $(WORKERS) --dist loadscope --no-loadscope-reorder

BIN := .venv/bin
STAMP := .venv/.complete

.DEFAULT_GOAL := help
# What the names of tiers mean, and how long each takes: docs/testing.md.
.PHONY: help venv engine demo test test-faults test-wheel test-chaos coverage test-recovery-kinds test-docker test-images check bench bench-import bench-api bench-observability bench-db load capacity bench-ingest bench-ingest-scale bench-qdrant-client bench-layout bench-segments bench-search bench-docker bench-gateway bench-failover bench-backup picture pictures clean

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

test: venv engine  ## unit, contract and integration tests, campaigns sampled (ARGS="-k redis", WORKERS=4)
	$(BIN)/python -m pytest $(PARALLEL) -m 'not docker and not platform and not kinds and not packaging and not fuzz and not chaos' $(ARGS)

test-faults: venv engine  ## all cases of the campaigns: kills, full disks, forgeries, interrupts, whole platforms; CAMPAIGN=half
	RAGOPS_TEST_CAMPAIGN=$(CAMPAIGN) $(BIN)/python -m pytest $(PARALLEL) -m 'campaign and not chaos' $(ARGS)

test-chaos: venv  ## faults on a real Qdrant cluster of three (RAGOPS_TEST_QDRANT), half an hour; CAMPAIGN=sample for 8 runs
	RAGOPS_TEST_CAMPAIGN=$(CAMPAIGN) $(BIN)/python -m pytest -m chaos $(ARGS)

test-wheel: venv engine  ## the package in environments of its own, the upgrade from the release before, the API under a fuzzer
	$(BIN)/python -m pytest $(PARALLEL) -m 'packaging or fuzz' $(ARGS)

coverage: venv engine  ## all tiers with branches and child processes; fails under 90% (85% without Docker)
	$(BIN)/coverage erase
	@code=0; RAGOPS_TEST_CAMPAIGN=full RAGOPS_TEST_SLOW=3 $(BIN)/coverage run -m pytest $(PARALLEL) $(ARGS) || code=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report --fail-under=$$($(BIN)/python -c 'if True: \
	  from ragops.adapters.docker.client import DockerHost; \
	  DockerHost().version()' 2> /dev/null && echo 90 || echo 85) || code=$$?; exit $$code

test-recovery-kinds: venv engine  ## databases with one peculiarity each: backup, restore, equal or refused by name
	$(BIN)/python -m pytest -m kinds tests/recovery_kinds $(ARGS)

test-docker: venv engine  ## all that needs a Docker engine, whole platforms too: an hour (ARGS="-k upgrade" for some)
	$(BIN)/python -m pytest -m '(docker or platform) and not kinds' $(ARGS)

test-images:  ## stand-ins for the official images, from Debian's packages, where no registry can be reached
	@tests/docker/images/build.sh

check: venv  ## style, words, types, import rules, dead code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests/docker tests/chaos tests/recovery_kinds bench
	$(BIN)/lint-imports
	$(BIN)/python tools/check_words.py
	$(BIN)/vulture

bench: venv engine  ## the measurements behind docs/performance.md
	$(BIN)/python bench/run.py

bench-import: venv engine  ## the import of 100,000 collections against psql's \copy
	$(BIN)/python bench/import_json.py

bench-api: venv engine .tools/k6  ## searches per second with k6, alone and through the gateway; ingest; processor time of a request
	$(BIN)/python bench/api.py
	$(BIN)/python bench/api_cost.py

bench-observability: venv engine  ## what metrics and traces cost the API, and Prometheus the machine, idle and at 500 requests/s
	$(BIN)/python bench/observability.py

bench-db: venv engine  ## lookups of a database with 1,000,000 chunks and 10,000,000 logs, its growth, its upkeep (RUNTIME=docker)
	$(BIN)/python bench/database.py

load: venv engine .tools/k6  ## 1,000 questions a second for 5 minutes through the gateway (RATE, SECONDS, MODE=stress, RUNTIME=docker)
	$(BIN)/python bench/load.py

capacity: venv  ## the table of docs/capacity.md from the costs in bench/capacity.py
	$(BIN)/python bench/capacity.py

bench-ingest-scale: venv engine  ## the memory of an ingest of 1,000,000 chunks, and how well it predicts its end (CHUNKS=100000)
	$(BIN)/python bench/ingest_scale.py

bench-ingest: venv engine  ## ingest whose steps overlap against steps in turn, on a real cluster of three (RAGOPS_TEST_QDRANT)
	$(BIN)/python bench/ingest.py

bench-qdrant-client: venv  ## searches over gRPC and REST on a real cluster of three (RAGOPS_TEST_QDRANT: a Qdrant server)
	$(BIN)/python bench/vector_client.py

bench-layout: venv  ## layouts of a collection on a real cluster of three (RAGOPS_TEST_QDRANT)
	$(BIN)/python bench/layout.py

bench-segments: venv  ## index, quantization and vectors on disk in one shard, on Qdrant's own engine
	$(BIN)/python bench/segments.py

bench-search: venv  ## how often a question finds its document, in every mode, against BM25 and PostgreSQL
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python bench/search_quality.py

bench-docker: venv engine  ## the platform on Docker against the bare Automation API and docker run; loss of a node
	$(BIN)/python bench/containers.py

bench-gateway: venv  ## processor time of Kong as rendered against the same Kong configured by hand, in turn
	$(BIN)/python bench/gateway_cost.py

bench-failover: venv  ## reads and writes while a node is killed, stopped or frozen (RAGOPS_TEST_QDRANT; RUNS=6 SOAK=120)
	$(BIN)/python bench/failover.py

bench-backup: venv engine  ## recovery points against pg_dump, snapshot downloads, BGSAVE; memory (RUNTIME=docker)
	$(BIN)/python bench/backup.py

.tools/k6:
	@command -v k6 > /dev/null && mkdir -p .tools && ln -sf "$$(command -v k6)" $@ || \
	GOBIN=$(CURDIR)/.tools go install go.k6.io/k6@v1.8.1

picture: venv engine  ## docs/status.svg, `ragops status` of a real run
	$(BIN)/python bench/picture.py

pictures: venv engine  ## docs/panels-*.svg, panels of the dashboards of a real platform in twelve minutes of load and faults
	$(BIN)/python -m pip install --quiet --group pictures
	$(BIN)/python bench/panels.py

clean:  ## remove what make has made in this checkout (engine and .ragops/ stay)
	rm -rf .venv dist build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
