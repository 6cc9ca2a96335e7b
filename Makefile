# `make help` lists what there is. Everything that CI does is here, and runs the same anywhere.

.PHONY: help test sim chaos chaos-mix versions bench api pages traces check fmt lint doc deny audit demo services

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

# The two services are private and thrown away afterwards; without them the tests fail.
test: ## run every test, with a private PostgreSQL and RabbitMQ
	scripts/services run scripts/test

# A seed that fails prints all its steps; the same seed takes them again, exactly. Optimised, which
# pays from some hundred seeds on.
SEED ?= 1
N ?= 1
sim: ## simulate N seeds from SEED on (make sim SEED=7 N=1000)
	SEED=$(SEED) N=$(N) cargo test --profile sim --quiet --package polychron-tests --test simulation -- --ignored --nocapture seeds_by_hand

chaos: ## kill, stop and cut off real processes; T=name runs one of these tests
	scripts/services run scripts/chaos $(T)

MINUTES ?= 30
chaos-mix: ## all of it at random for some minutes (make chaos-mix MINUTES=30 SEED=7)
	SEED=$(SEED) MINUTES=$(MINUTES) scripts/services run scripts/chaos minutes_by_hand --ignored

versions: ## this version beside another (make versions OLD=commit)
	scripts/two-versions $(OLD)

# Medians and ratios as a table, all samples in target/bench/CASE.json. The machine should be quiet.
ROUNDS ?= 7
JOBS ?= 5000
bench: ## measure everything, or one CASE (make bench CASE=pipeline ROUNDS=7 JOBS=5000)
	SERVICES_FSYNC=on scripts/services run scripts/bench $(CASE) --rounds $(ROUNDS) --jobs $(JOBS) --minutes $(MINUTES)

api: ## ask the running API what its document allows, and what it doesn't
	scripts/services run scripts/api-check

pages: ## do in Chromium what operators do, and ask axe-core about every page
	scripts/services run scripts/use-pages
	scripts/look-at-pages

traces: ## test the traces, which are off by default
	scripts/services run scripts/traces

check: fmt lint doc deny test ## what CI runs

fmt: ## is the code formatted?
	cargo fmt --all --check

lint: ## does clippy have anything to say? Also of what is off by default
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p polychron-tests --all-targets --features otel --locked -- -D warnings

doc: ## do the code's own documents build without a warning?
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

deny: ## are licences, bans and sources in order?
	scripts/deny check licenses bans sources

audit: ## are there advisories against what we build on? Needs the advisories' database
	scripts/deny check advisories

demo: ## three tenants, no service needed
	cargo run --release -- demo

services: ## start the private services and leave them running, for work on tests
	scripts/services up
