# `make help` lists the targets. CI runs `make check`, which works the same everywhere.

.PHONY: help test sim chaos chaos-mix fuzz versions bench api pages traces sdk wheel check fmt lint doc deny audit demo services

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

# The tests need both services; they are private to this run and deleted afterwards.
HANDLERS ?= rust
test: ## run all tests, with a private PostgreSQL and RabbitMQ (make test HANDLERS=python)
	POLYCHRON_TEST_HANDLERS=$(HANDLERS) scripts/services run scripts/test

# A failing seed prints its steps and replays exactly. The optimised build pays off from some hundred
# seeds on.
SEED ?= 1
N ?= 1
sim: ## simulate N seeds, starting at SEED (make sim SEED=7 N=1000)
	SEED=$(SEED) N=$(N) cargo test --profile sim --quiet --package polychron-tests --test simulation -- --ignored --nocapture seeds_by_hand

chaos: ## kill, pause and disconnect real processes (make chaos T=name runs one test; HANDLERS=python)
	POLYCHRON_TEST_HANDLERS=$(HANDLERS) scripts/services run scripts/chaos $(T)

MINUTES ?= 30
chaos-mix: ## inject all these faults at random (make chaos-mix MINUTES=30 SEED=7)
	SEED=$(SEED) MINUTES=$(MINUTES) scripts/services run scripts/chaos minutes_by_hand --ignored

# Every target at a time of its own, at low priority. A failing input is kept in /tmp, and named.
fuzz: ## feed each decoder with mutated inputs for as long (make fuzz MINUTES=60 T=rows)
	POLYCHRON_FUZZ_SECONDS=$$(($(MINUTES) * 60)) nice -n 19 cargo test --profile sim -p polychron-shared -p polychron-operations -p polychron-consumer -p polychron-web --test fuzz --lib fuzz_$(T) -- --nocapture --test-threads=2

versions: ## run this version beside another one (make versions OLD=commit)
	scripts/two-versions $(OLD)

# Prints medians and ratios, and writes all samples to target/bench/CASE.json. Use an idle machine.
ROUNDS ?= 7
JOBS ?= 5000
bench: ## run all benchmarks or one (make bench CASE=pipeline ROUNDS=7 JOBS=5000)
	SERVICES_FSYNC=on scripts/services run scripts/bench $(CASE) --rounds $(ROUNDS) --jobs $(JOBS) --minutes $(MINUTES)

api: ## test the running API against its OpenAPI document
	scripts/services run scripts/api-check

pages: ## operate the dashboard in Chromium, and check its accessibility
	scripts/services run scripts/use-pages
	scripts/look-at-pages

traces: ## test the export of traces, which is off by default
	scripts/services run scripts/traces

PROFILE ?= release
wheel: ## build a wheel with program and SDK, and try it (make wheel PROFILE=dev)
	PROFILE=$(PROFILE) scripts/wheel

sdk: ## check and test the SDKs, and their conformance to the handler protocol
	scripts/services run scripts/sdk

check: fmt lint doc deny test sdk ## what CI runs

fmt: ## check the formatting
	cargo fmt --all --check

lint: ## run clippy, also with the features that are off by default
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p polychron-tests --all-targets --features otel,chaos --locked -- -D warnings
	scripts/import-circles

doc: ## build the API documentation without warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

deny: ## check licences, bans and sources of dependencies
	scripts/deny check licenses bans sources

audit: ## check dependencies against published advisories (downloads their database)
	scripts/deny check advisories

demo: ## run the demo: three tenants, no services needed
	cargo run --release -- demo

services: ## start the private services and keep them running, for work on tests
	scripts/services up
