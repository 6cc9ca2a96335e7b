# `make help` lists what there is. Everything that CI does is here, and runs the same anywhere.

.PHONY: help test chaos check fmt lint doc deny audit demo services

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

# The two services are private and thrown away afterwards; without them the tests fail.
test: ## run every test, with a private PostgreSQL and RabbitMQ
	scripts/services run scripts/test

chaos: ## kill, stop and cut off real processes; T=name runs one of these tests
	scripts/services run scripts/chaos $(T)

check: fmt lint doc deny test ## what CI runs

fmt: ## is the code formatted?
	cargo fmt --all --check

lint: ## does clippy have anything to say?
	cargo clippy --workspace --all-targets --locked -- -D warnings

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
