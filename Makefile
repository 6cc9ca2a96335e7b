# `make help` lists what there is. Everything that CI does is here, and runs the same anywhere.

.PHONY: help test sim chaos check fmt lint doc deny audit demo services traces

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

# The two services are private and thrown away afterwards; without them the tests fail.
test: ## run every test, with a private PostgreSQL and RabbitMQ
	scripts/services run scripts/test

# A seed that fails prints all its steps; the same seed takes them again, exactly.
SEED ?= 1
N ?= 1
sim: ## simulate N seeds from SEED on (make sim SEED=7 N=1000)
	SEED=$(SEED) N=$(N) cargo test --quiet --package polychron-tests --test simulation -- --ignored --nocapture seeds_by_hand

chaos: ## kill, stop and cut off real processes; T=name runs one of these tests
	scripts/services run scripts/chaos $(T)

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
