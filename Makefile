# `make` lists the targets. CARGO_TARGET_DIR, KUBEBUILDER_ASSETS and CLUSTER are respected; ports are chosen free, so that
# two checkouts run side by side.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
LOCAL := $(TARGET)/debug/lifeguard-local
CARGO ?= cargo
export CARGO

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

.PHONY: tools
tools: ## build the pinned control plane, kubectl and helm (minutes, the first time)
	@hack/tools/build >/dev/null

.PHONY: build
build: ## build all binaries
	@hack/cargo-build --bins

.PHONY: demo
demo: ## run the quickstart against a fresh control plane and emulator, show its output, stop
	@hack/demo

.PHONY: up
up: tools build ## start control plane, emulator and operator in .local/; CLUSTER=current uses your own cluster
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(LOCAL) up

.PHONY: down
down: ## stop what `make up` started
	@if [[ -d .local ]]; then [[ -x $(LOCAL) ]] || $(CARGO) build --workspace --bins; $(LOCAL) down; fi

.PHONY: status
status: build ## say what of `make up` runs
	@$(LOCAL) status

.PHONY: test-build
test-build: tools # binaries too: end-to-end tests start those of the emulator and the operator
	@hack/cargo-build --bins --tests

# Most end-to-end tests wait most of the time, so more of them than there are cores run side by side.
export RUST_TEST_THREADS ?= 8

.PHONY: test
test: test-build ## run every test, unit to end to end
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) test --workspace

.PHONY: soak
soak: test-build ## run the randomised suites with their full counts (tens of minutes)
	@LIFEGUARD_SOAK=1 LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) test --workspace -- --nocapture stress soak random crash_points hostile_namespace command_job::model

.PHONY: bench
bench: tools ## print speed, memory and cost figures of release builds (minutes, the first time)
	@$(CARGO) build --release --workspace --bins
	@LIFEGUARD_TOOLS="$$(hack/tools/build)" $(CARGO) bench --bench operator

.PHONY: lint
lint: ## check format, clippy, licences, TLS provider, chart and CRDs
	@hack/lint

.PHONY: audit
audit: ## look up the dependencies in the advisory database (needs the network)
	@hack/cargo-deny --workspace --all-features check advisories

.PHONY: crds
crds: ## write the CRDs from the types, and their copies in the chart
	@UPDATE_CRDS=1 $(CARGO) test --workspace --lib --quiet -- the_committed_definitions_are_those_of_the_types
	@mkdir -p charts/lifeguard/files/crds && cp crds/*.yaml charts/lifeguard/files/crds/

.PHONY: docs
docs: ## write the tables of the documentation from the CRDs and the types
	@UPDATE_DOCS=1 $(CARGO) test --package lifeguard --test documentation --quiet -- the_table
	@UPDATE_DOCS=1 $(CARGO) test --package lifeguard --lib --quiet -- the_documented_table

.PHONY: clean
clean: down ## stop, then remove .local/ and the build
	rm -rf .local
	$(CARGO) clean
