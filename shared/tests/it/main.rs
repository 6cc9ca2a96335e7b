//! Conformance tests that every store and every queue must pass, and tests of what surrounds them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

extern crate polychron_shared as shared;

mod change_token_postgres;
mod change_token_sqlite;
mod connections;
mod encodings;
mod hostile_schema;
mod hostile_sqlite;
mod installation;
mod lagging_ids;
mod listing;
mod lost_sessions;
mod lying_server;
mod migrations;
mod monitoring;
mod names;
mod overloads;
mod pooler;
mod queue;
mod readiness;
mod rights;
mod statements;
mod store;
mod zone_rules;
