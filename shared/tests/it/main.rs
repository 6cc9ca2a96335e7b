//! One conformance suite over every backend: what a store and a queue must do, whichever they are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

extern crate polychron_shared as shared;

mod change_token;
mod changes;
mod connections;
mod lying_server;
mod migrations;
mod names;
mod pooler;
mod queue;
mod readiness;
mod statements;
mod store;
mod watching;
