//! The state of a command that starts handler processes, as health, `check` and the dashboard show it.

use serde::{Deserialize, Serialize};

use crate::outcome::clean;
use crate::printable;

/// The longest command or reason that is shown, in bytes.
const SENTENCE_BYTES_MAX: usize = 500;
/// How much of the last output is shown, in bytes.
const OUTPUT_BYTES_MAX: usize = 2048;
/// How many job types are shown.
const TYPES_MAX: usize = 50;

/// Whether a command's processes take executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "String")]
pub enum HandlerState {
    /// They do.
    Ready,
    /// No process has said hello yet.
    Starting,
    /// They keep failing. So does a state that only later versions know.
    #[serde(rename = "not ready")]
    NotReady,
}

impl HandlerState {
    /// The state as users read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            HandlerState::Ready => "ready",
            HandlerState::Starting => "starting",
            HandlerState::NotReady => "not ready",
        }
    }
}

impl From<String> for HandlerState {
    fn from(state: String) -> HandlerState {
        let known = [HandlerState::Ready, HandlerState::Starting];
        known.into_iter().find(|known| known.as_str() == state).unwrap_or(HandlerState::NotReady)
    }
}

/// A command that starts handler processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerStatus {
    /// The command.
    pub command: String,
    /// The job types that it handles, of many the first; empty before its first hello.
    pub types: Vec<String>,
    /// How many more it handles.
    #[serde(default)]
    pub more_types: usize,
    /// Whether its processes take executions.
    pub status: HandlerState,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// Its processes, including those that are starting or ending.
    pub processes: usize,
    /// The executions in its processes.
    pub running: usize,
    /// The executions that wait for a process.
    #[serde(default)]
    pub waiting: usize,
    /// The processes that have sent nothing for longer than they promised.
    pub silent: usize,
    /// The end of what the last process that failed wrote outside of executions.
    pub last_output: String,
}

impl HandlerStatus {
    /// Makes it safe to store and show: a program chooses reason, types and output.
    #[must_use]
    pub fn bounded(mut self) -> HandlerStatus {
        let sentence = |text: &str| clean(&printable::line(text), SENTENCE_BYTES_MAX);
        self.command = sentence(&self.command);
        self.reason = self.reason.as_deref().map(sentence);
        self.more_types += self.types.len().saturating_sub(TYPES_MAX);
        self.types.truncate(TYPES_MAX);
        self.types.iter_mut().for_each(|job_type| *job_type = sentence(job_type));
        // Half a password would not be recognised, so cut afterwards.
        let output = clean(&self.last_output, usize::MAX);
        let output = printable::lines(&output);
        let from = output.ceil_char_boundary(output.len().saturating_sub(OUTPUT_BYTES_MAX));
        self.last_output = output[from..].to_owned();
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> HandlerStatus {
        HandlerStatus {
            command: "python -m polychron app.jobs".into(),
            types: vec!["report".into()],
            more_types: 0,
            status: HandlerState::Ready,
            reason: None,
            processes: 1,
            running: 0,
            waiting: 0,
            silent: 0,
            last_output: String::new(),
        }
    }

    #[test]
    fn whatever_a_program_says_is_bounded_printable_and_without_passwords() {
        assert_eq!(status().bounded(), status());
        let bounded = HandlerStatus {
            command: format!("x --broker amqp://ann:s3cret@broker {}", "\u{1b}".repeat(10_000)),
            types: (0..1000).map(|number| format!("type-{number}")).collect(),
            reason: Some(format!("postgres://ann:s3cret@db \0 {}", "\u{202e}".repeat(10_000))),
            last_output: format!("{}postgres://ann:s3cret@db\n\u{1b}[2J\0", "ü".repeat(10_000)),
            ..status()
        };
        let bounded = bounded.bounded();
        assert_eq!((bounded.types.len(), bounded.more_types), (50, 950));
        let text = serde_json::to_string(&bounded).unwrap();
        assert!(text.len() < 10_000 && !text.contains("s3cret"), "{text}");
        let texts = [&bounded.command, bounded.reason.as_ref().unwrap(), &bounded.last_output];
        let is_safe = |text: &&String| !text.contains(|c| c != '\n' && printable::is_unsafe(c));
        assert!(texts.iter().all(is_safe), "{text}");
        assert!(bounded.last_output.ends_with("db\n\\u{1b}[2J\u{fffd}"), "the end is what matters");
    }

    #[test]
    fn other_versions_rows_can_be_read() {
        let mut row = serde_json::to_value(status()).unwrap();
        assert_eq!(serde_json::from_value::<HandlerStatus>(row.clone()).unwrap(), status());
        row["status"] = json!("paused");
        row["invented later"] = json!(1);
        let read: HandlerStatus = serde_json::from_value(row).unwrap();
        assert_eq!(read.status, HandlerState::NotReady);
    }
}
