# Everything runs in .venv, which the first target that needs it builds from python3 alone.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# Where the CPU build of torch is fetched from when pip does not already know a source of it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
REQUIREMENTS ?= requirements/cpu.txt

VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors only.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
READY := $(VENV)/.installed

# The cluster: what its images are made from, and the folder of its settings and secrets.
BASE_IMAGE ?= python:3.11-slim-bookworm
CLUSTER ?= docker/cluster
COMPOSE ?= $(shell docker compose version > /dev/null 2>&1 && echo docker compose || echo docker-compose)
COMPOSE_FILES ?= -f docker/compose.yaml
PROJECT ?= palimpsest
REMOVE ?=
IN_CLUSTER = $(COMPOSE) -p $(PROJECT) --env-file $(CLUSTER)/cluster.env $(COMPOSE_FILES)

.PHONY: help install demo seeds study results test test-slow check bench bench-lineage stress-leases clean \
	cluster-base cluster-images cluster-up cluster-status cluster-demo cluster-faults cluster-down

help: ## say what there is to do
	@echo "Palimpsest rates and revises a corpus with the model trained on it, trains the successor,"
	@echo "and measures both. Start with:  make demo"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) \
		| awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo
	@echo "Each target sets up .venv by itself the first time (Python 3.11 to 3.13, a few minutes)."
	@echo "After that the program is at $(BIN)/palimpsest; its --help lists the commands."

install: $(READY) ## only set up .venv

demo: $(READY) ## the whole loop in the microworld: three generations beside a control
	$(BIN)/palimpsest run configs/microworld.yaml

seeds: $(READY) ## the demo with three seeds and the filter arm, for a table with its spread
	$(BIN)/palimpsest run configs/microworld-seeds.yaml

study: $(READY) ## the core study, five seeds: two to three hours; after a stop it goes on
	$(BIN)/palimpsest run configs/microworld-study.yaml

results: $(READY) ## write docs/results.md from the record of the study and its variations
	$(BIN)/python -m benchmarks.study_results

bench: $(READY) ## how much is done in an hour, beside what users would otherwise run
	$(BIN)/python -m benchmarks.throughput

bench-lineage: $(READY) ## how fast the record takes in a corpus and answers, on both databases
	$(BIN)/python -m benchmarks.lineage

test: $(READY) ## the tests, without the minutes-long ones
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not slow"

test-slow: $(READY) ## the minutes-long tests
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

stress-leases: $(READY) ## 200 rounds of fights for an arm's lease, on both databases: half an hour
	$(BIN)/python tests/db/stress_leases.py --quiet

check: $(READY) ## lint, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

cluster-base: ## make a base image from Debian's packages, where none can be pulled
	docker/local-base

cluster-images: ## build the images of the cluster from BASE_IMAGE
	docker/build-inputs
	for target in orchestrator engine database object-store; do \
		docker build --quiet --target $$target --tag palimpsest-$$target:latest \
			--build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg REQUIREMENTS=$(REQUIREMENTS) \
			--build-arg TORCH_INDEX=$(TORCH_INDEX) \
			--build-arg COMMIT=$$(git rev-parse HEAD 2> /dev/null || true) \
			--file docker/Dockerfile . ; \
	done

# `init --cluster` runs in the image, so that this host needs no Python.
cluster-up: cluster-images ## start the cluster on this host: Prefect, PostgreSQL and Ray
	@mkdir -p $(CLUSTER)
	@docker run --rm --user $$(id -u):$$(id -g) --volume $(abspath $(CLUSTER)):$(abspath $(CLUSTER)) \
		--entrypoint palimpsest palimpsest-orchestrator:latest init --cluster $(abspath $(CLUSTER))
	$(IN_CLUSTER) up --detach --remove-orphans
	docker/wait-healthy $(PROJECT)

cluster-status: ## how the cluster's services and experiments stand
	$(IN_CLUSTER) ps
	$(IN_CLUSTER) exec -T prefect-worker with-secrets palimpsest status

cluster-demo: $(READY) ## run the demo on the running cluster, and check it against the same run here
	$(BIN)/python tests/cluster/demo.py --cluster $(CLUSTER) --project $(PROJECT) $(PARTS)

cluster-faults: $(READY) ## break a cluster of its own in every way, and see that runs end the same
	$(BIN)/python tests/cluster/faults.py --cluster $(CLUSTER) $(PARTS)

cluster-down: ## stop the cluster; its volumes stay (REMOVE=--volumes removes them too)
	$(IN_CLUSTER) down --remove-orphans $(REMOVE)

clean: ## remove .venv and the caches of the tools; results in .palimpsest stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.palimpsest/*' -prune -exec rm -rf {} +

# The sets in requirements/ are complete, so nothing is resolved (--no-deps). A CPU build of torch
# comes first and alone: only it is looked up on the extra index, and a machine for which there is
# none fails before the long part.
$(READY): $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Palimpsest needs Python 3.11 to 3.13, and $(PYTHON) is another version or missing." \
			"Name one that fits: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@torch=$$(grep -E '^torch==' $(REQUIREMENTS)); \
		echo "Installing $$(grep -cE '^[a-z]' $(REQUIREMENTS)) pinned packages into $(VENV)"; \
		case "$$torch" in \
			*+cpu) $(PIP) install --no-deps "$$torch" 2>/dev/null \
				|| $(PIP) install --no-deps --extra-index-url $(TORCH_INDEX) "$$torch";; \
		esac
	@$(PIP) install --no-deps -r $(REQUIREMENTS)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
