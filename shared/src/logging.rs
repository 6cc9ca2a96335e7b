//! Logs: text for people, JSON for machines, always on standard error.
//!
//! Each line is understandable without its context and uses the same field names: `tenant` (slug),
//! `job` (name), `execution` (id), `attempt`. Lines never contain payloads, secrets or URLs with
//! passwords.

mod capture;
mod flood_limit;

use std::io::IsTerminal;

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::clock::Clock;
use crate::config::LogFormat;
use capture::{Capture, Lines};
use flood_limit::flood_limit;

/// Libraries that log what we log, too, with less context. They are silent unless the filter names them.
const QUIET: [&str; 6] = ["lapin", "amq_protocol", "tcp_stream", "async_rs", "sqlx", "rustls"];

/// Starts logging. `filter` is a level, or directives in the syntax of `tracing-subscriber`.
pub fn start(filter: &str, format: LogFormat, colour: bool) {
    let filter = EnvFilter::new(directives(filter));
    let colour = colour && std::io::stderr().is_terminal() && format == LogFormat::Text;
    let lines = move || Lines { format, colour };
    let written = fmt::layer().with_writer(lines).with_target(false).with_ansi(colour);
    let written = match format {
        LogFormat::Text => written.boxed(),
        LogFormat::Json => written.json().flatten_event(true).boxed(),
    };
    let (limit, reporter) = flood_limit(Clock::System);
    let subscriber = tracing_subscriber::registry().with(filter);
    let subscriber = subscriber.with(written.with_filter(limit)).with(Capture);
    // A second start, as in tests, fails without harm.
    if subscriber.try_init().is_ok() {
        reporter.start();
    }
}

fn directives(filter: &str) -> String {
    let quiet = QUIET.iter().filter(|library| !filter.contains(**library));
    quiet.fold(filter.to_owned(), |filter, library| format!("{filter},{library}=off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_silent_unless_they_are_named() {
        let shown = directives("info");
        assert!(shown.starts_with("info,lapin=off,") && shown.contains("sqlx=off"), "{shown}");
        let shown = directives("info,lapin=debug");
        assert!(!shown.contains("lapin=off") && shown.contains("sqlx=off"), "{shown}");
        EnvFilter::try_new(shown).unwrap();
    }
}
