//! What handlers log: it also goes to their execution's output, and never shows their secrets.

use std::fmt::{self, Write as _};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::output::Output;

/// Adds what a handler logs to its execution's output.
pub(super) struct Capture;

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(output) = Output::current() else { return };
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        output.line(format!("{} {}{}", event.metadata().level(), line.message, line.fields));
    }
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Standard error, without the secrets of the handler that logs. A line comes in one write.
pub(super) struct WithoutSecrets;

impl io::Write for WithoutSecrets {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = match Output::current() {
            Some(output) => {
                let line = output.redact(&String::from_utf8_lossy(line));
                io::stderr().write_all(line.as_bytes())
            }
            None => io::stderr().write_all(line),
        };
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Redactor;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn what_a_handler_logs_is_kept_without_its_secrets_and_nobody_elses_is() {
        let output = Output::new(Redactor::new(&["hunter2-hunter2".to_owned()]));
        let subscriber = tracing_subscriber::registry().with(Capture);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            output.enter(|| tracing::warn!(count = 3, "used hunter2-hunter2"));
            tracing::info!("after");
        });
        assert_eq!(output.report(true).output.unwrap(), "WARN used [secret] count=3\n");
    }
}
