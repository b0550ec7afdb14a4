# `make` lists the targets. CARGO_TARGET_DIR, KUBEBUILDER_ASSETS and CLUSTER are respected; ports are chosen free, so that
# two checkouts run side by side.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
LOCAL := $(TARGET)/debug/lifeguard-local
CARGO ?= cargo

# Binaries and tests together: separate builds would choose features of shared dependencies differently and build them twice.
BUILD := $(CARGO) build --workspace --all-targets

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

.PHONY: tools
tools: ## build the pinned control plane, kubectl and helm (minutes, the first time)
	@hack/tools/build >/dev/null

.PHONY: build
build: ## build all binaries
	@echo 'building the operator, the emulator and lifeguard-local (minutes, the first time) ...'
	@$(CARGO) build --workspace --bins

.PHONY: demo
demo: tools build ## run the quickstart against a fresh control plane and emulator, show its output, stop
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(LOCAL) demo

.PHONY: up
up: tools build ## start control plane, emulator and operator in .local/; CLUSTER=current uses your own cluster
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(LOCAL) up

.PHONY: down
down: ## stop what `make up` started
	@$(CARGO) run --quiet --package lifeguard-local -- down

.PHONY: status
status: ## say what of `make up` runs
	@$(CARGO) run --quiet --package lifeguard-local -- status

.PHONY: test
test: tools ## run every test, unit to end to end
	@echo 'building the workspace and its tests (minutes, the first time) ...'
	@$(BUILD)
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) test --workspace

.PHONY: soak
soak: tools ## run the randomised suites with their full counts
	@$(BUILD)
	@LIFEGUARD_SOAK=1 LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) test --workspace

.PHONY: bench
bench: tools ## measure the operator against the API server's own ceiling
	@$(CARGO) build --release --workspace --bins
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) bench --package lifeguard

.PHONY: lint
lint: ## check format, clippy, licences, TLS provider, chart and CRDs
	@hack/lint

.PHONY: crds
crds: ## write the CRDs from the types
	@$(CARGO) run --quiet --package lifeguard --example crds

.PHONY: clean
clean: down ## stop, then remove .local/ and the build
	rm -rf .local
	$(CARGO) clean
