//! The job types that need no program of your own.
//!
//! `http`, `sql` and `notification` are always available. `command` and `amqp` reach further: they
//! are available once the operator has listed the programs and exchanges that jobs may use.

mod amqp;
mod command;
mod http;
mod notification;
mod sql;

use launcher::Launcher;
use shared::clock::Clock;
use shared::config::Config;

use crate::Registry;

/// Call this first in `main`, before the process has threads; [`Consumer::builder`] does so. The job
/// types `command` and `sql` (over SQLite) execute the running program again, to confine foreign
/// programs and statements. In such a process, this function does that work and does not return. In
/// any other, it makes the process's memory and environment, which contain passwords, unreadable to
/// other processes of its user.
///
/// Without it, the two job types need another program that calls it: the one that
/// `POLYCHRON_LAUNCHER` names, else `polychron` on the `PATH`.
///
/// [`Consumer::builder`]: crate::Consumer::builder
pub fn answer() {
    launcher::answer(&[sql::ROLE]);
}

/// Adds the built-in job types that the settings allow.
pub(crate) fn register(registry: &mut Registry, config: &Config, clock: &Clock) {
    registry.insert("http", http::Http::new(config.http_allow.clone(), clock.clone()));
    let launcher = Launcher::itself_or(shared::environment::launcher());
    registry.insert("sql", sql::Sql::new(launcher.clone()));
    let notification = notification::Notification::new(config.http_allow.clone(), clock.clone());
    registry.insert(shared::notification::JOB_TYPE, notification);
    if !config.commands.is_empty() {
        let (programs, user) = (config.commands.clone(), config.command_user);
        registry.insert("command", command::Command::new(programs, user, launcher));
    }
    let broker = config.exchanges_url.as_ref().or(config.amqp_url.as_ref());
    if let (Some(broker), false) = (broker, config.exchanges.is_empty()) {
        registry.insert("amqp", amqp::Amqp::new(broker.clone(), config.exchanges.clone()));
    }
}
