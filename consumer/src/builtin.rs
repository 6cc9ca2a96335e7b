//! The job types that need no program of your own.
//!
//! `http`, `sql` and `notification` are always available. `command` and `amqp` reach further: they
//! are available once the operator has listed the programs and exchanges that jobs may use.

mod amqp;
mod command;
mod http;
mod notification;
mod sql;

use shared::clock::Clock;
use shared::config::Config;

use crate::Registry;

/// Adds the built-in job types that the settings allow.
pub(crate) fn register(registry: &mut Registry, config: &Config, clock: &Clock) {
    registry.insert("http", http::Http::new(config.http_allow.clone(), clock.clone()));
    registry.insert("sql", sql::sql);
    let notification = notification::Notification::new(config.http_allow.clone(), clock.clone());
    registry.insert(shared::notification::JOB_TYPE, notification);
    if !config.commands.is_empty() {
        registry.insert("command", command::Command::new(config.commands.clone(), clock.clone()));
    }
    let broker = config.exchanges_url.as_ref().or(config.amqp_url.as_ref());
    if let (Some(broker), false) = (broker, config.exchanges.is_empty()) {
        registry.insert("amqp", amqp::Amqp::new(broker.clone(), config.exchanges.clone()));
    }
}
