//! Copies what handlers log to their execution's output, and redacts their secrets.

use std::fmt::{self, Write as _};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::config::LogFormat;
use crate::output::Output;
use crate::printable;

/// Appends what a handler logs to its execution's output.
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

/// Writes to standard error. Each write is the line of one event. Secrets of the logging handler are
/// redacted, and characters that could forge a line or control a terminal are escaped.
pub(super) struct Lines {
    pub(super) format: LogFormat,
    /// Whether the formatter colours the line.
    pub(super) colour: bool,
}

impl Lines {
    fn printable(&self, line: &str) -> String {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = match Output::current() {
            Some(output) => output.redact(line),
            None => line.to_owned(),
        };
        let line = match self.format {
            LogFormat::Json => printable::json(&line).into_owned(),
            LogFormat::Text if self.colour => coloured(&line),
            LogFormat::Text => printable::line(&line).into_owned(),
        };
        line + "\n"
    }
}

/// Escapes everything except colours (SGR sequences), which are harmless.
fn coloured(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    safe += &printable::line(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        match part[end..].strip_prefix('m') {
            Some(rest) => safe += &format!("\u{1b}[{}m{}", &part[..end], printable::line(rest)),
            None => safe += &printable::line(&format!("\u{1b}[{part}")),
        }
    }
    safe
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = self.printable(&String::from_utf8_lossy(line));
        io::stderr().write_all(shown.as_bytes()).map(|()| line.len())
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
    fn only_the_handlers_own_lines_are_captured_and_secrets_redacted() {
        let output = Output::new(Redactor::new(&["hunter2-hunter2".to_owned()]));
        let subscriber = tracing_subscriber::registry().with(Capture);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            output.enter(|| tracing::warn!(count = 3, "used hunter2-hunter2"));
            tracing::info!("after");
        });
        assert_eq!(output.final_report().output.unwrap(), "WARN used [secret] count=3\n");
    }

    #[test]
    fn a_line_cannot_forge_another_or_control_a_terminal() {
        let forged = "\u{1b}[32mINFO\u{1b}[0m x\nERROR y\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\n";
        let lines = |format, colour| Lines { format, colour }.printable(forged);
        assert_eq!(
            lines(LogFormat::Text, true),
            "\u{1b}[32mINFO\u{1b}[0m x\\nERROR y\\u{1b}[2J\\u{1b}]0;t\\u{7}\\u{202e}\n"
        );
        let plain = lines(LogFormat::Text, false);
        assert!(!plain.trim_end_matches('\n').contains(printable::is_unsafe), "{plain}");
    }
}
