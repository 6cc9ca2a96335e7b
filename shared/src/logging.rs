//! Logs: text for people, JSON for machines, always on standard error.
//!
//! Each line is understandable without its context and uses the same field names: `tenant` (slug),
//! `job` (name), `execution` (id), `attempt`. Lines never contain payloads, secrets or URLs with
//! passwords.

mod capture;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;
use capture::{Capture, Lines};

/// Silences libraries that log what we log, too, with less context.
const QUIET: &str = ",lapin=error,sqlx=error,amq_protocol=error";

/// Starts logging. `filter` is a level, or directives in the syntax of `tracing-subscriber`.
pub fn start(filter: &str, format: LogFormat, colour: bool) {
    let filter = EnvFilter::new(format!("{filter}{QUIET}"));
    let colour = colour && std::io::stderr().is_terminal() && format == LogFormat::Text;
    let lines = move || Lines { format, colour };
    let builder = fmt::fmt().with_env_filter(filter).with_writer(lines).with_target(false);
    // A second start, as in tests, fails without harm.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colour).finish().with(Capture).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(Capture).try_init(),
    };
}
