//! The built-in job types against real servers, what handlers leave behind, and batching.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod amqp;
mod batches;
mod command;
mod database;
mod handler_process;
mod http;
mod locked_rows;
mod notification;
mod peer;
mod sql;
mod sqlite;

use std::path::Path;

use polychron_consumer::testing::use_launcher;
use polychron_consumer::{Registry, known_types};
use shared::clock::Clock;
use shared::config::{Config, Sources};

/// The handlers of a consumer with these settings.
fn known(settings: &[(&str, &str)]) -> Registry {
    let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let environment = settings.iter().map(pair).collect();
    use_launcher(Path::new(env!("CARGO_BIN_EXE_polychron-consumer")));
    let sources = Sources { environment, ..Sources::default() };
    known_types(&Config::read(&sources, &[]).unwrap(), &Clock::System)
}
