//! The messages between consumer and handler process: JSON, one per line (docs/handler-protocol.md).

#[cfg(test)]
mod fuzz;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::id::ExecutionId;

use crate::stop::StopReason;

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;
/// The longest line in either direction, in bytes, without its line break.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// The maximum number of job types that a process may offer.
const TYPES_MAX: usize = 1000;
/// The longest job type, and the longest name of an SDK, in characters.
const NAME_CHARACTERS_MAX: usize = 100;
/// The maximum `concurrency` that a process may offer.
const CONCURRENCY_MAX: usize = 1000;
/// The valid values of `alive_ms`, which promises a message at least this often.
const ALIVE_MILLIS: std::ops::RangeInclusive<u64> = 1000..=60_000;

/// A message of a handler process. Unknown fields are ignored, and null means the same as absent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The first message: what the process handles.
    Hello(Hello),
    /// The progress of an execution.
    Progress(Progress),
    /// A line of an execution's output.
    Log(Log),
    /// The process is alive.
    Alive(Alive),
    /// An execution succeeded.
    Done(Done),
    /// An execution failed.
    Failed(Failed),
}

#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    #[serde(default)]
    pub(super) sdk: Option<String>,
    pub(super) types: Vec<String>,
    #[serde(default)]
    concurrency: Option<usize>,
    /// The process promises a message at least this often.
    #[serde(default)]
    alive_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Progress {
    pub(super) id: String,
    pub(super) done: f64,
    #[serde(default)]
    pub(super) total: Option<f64>,
    #[serde(default)]
    pub(super) message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Log {
    pub(super) id: String,
    #[serde(default)]
    pub(super) level: Option<String>,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Alive {}

#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) id: String,
    /// Not parsed here: it may be nested more deeply than a row can store.
    #[serde(default)]
    pub(super) result: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    pub(super) id: String,
    #[serde(default)]
    pub(super) kind: Option<String>,
    pub(super) message: String,
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) retry: Option<bool>,
    #[serde(default)]
    pub(super) retry_after_ms: Option<f64>,
}

/// A message to a handler process.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order<'a> {
    /// Start an execution.
    Start(Start<'a>),
    /// Stop an execution.
    Cancel {
        id: ExecutionId,
        why: StopReason,
        /// The time until SIGTERM.
        grace_ms: u64,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Start<'a> {
    /// The first field: a process can answer even if it cannot parse the payload.
    pub(super) id: ExecutionId,
    #[serde(rename = "type")]
    pub(super) job_type: &'a str,
    pub(super) tenant: &'a str,
    pub(super) job: &'a str,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
    pub(super) idempotency_key: String,
    pub(super) scheduled_for: String,
    /// By the clock of the tenant's database.
    pub(super) deadline: String,
    /// The time until the deadline, in case the process's clock differs.
    pub(super) timeout_ms: u64,
    pub(super) payload: &'a RawValue,
    pub(super) database_url: &'a str,
    pub(super) traceparent: String,
}

impl Order<'_> {
    /// The message as a line; `None` if it is too long.
    pub(super) fn line(&self) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(self).ok()?;
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        line.push(b'\n');
        Some(line)
    }
}

impl Hello {
    /// How many executions the process runs concurrently.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(1)
    }

    /// After how long without a message the process is unresponsive; `None` if it promised none.
    pub(super) fn silent_after(&self) -> Option<Duration> {
        self.alive_ms.map(|millis| Duration::from_millis(millis) * 3)
    }

    /// What is wrong with the hello, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let is_name = |name: &String| {
            !name.contains(char::is_control) && name.chars().count() <= NAME_CHARACTERS_MAX
        };
        let is_type = |name: &String| !name.is_empty() && is_name(name);
        let different: BTreeSet<&String> = self.types.iter().collect();
        if self.protocol != VERSION {
            let theirs = self.protocol;
            Some(format!(
                "it speaks version {theirs} of the protocol, this consumer version {VERSION}"
            ))
        } else if !(1..=TYPES_MAX).contains(&self.types.len()) {
            Some(format!("its hello must name 1 to {TYPES_MAX} job types"))
        } else if !self.types.iter().all(is_type) {
            let most = NAME_CHARACTERS_MAX;
            Some(format!("its hello names a job type that is not 1 to {most} characters of text"))
        } else if different.len() < self.types.len() {
            Some("its hello names a job type twice".to_owned())
        } else if !self.sdk.as_ref().is_none_or(is_name) {
            Some(format!("its hello has an sdk of more than {NAME_CHARACTERS_MAX} characters"))
        } else if !(1..=CONCURRENCY_MAX).contains(&self.concurrency()) {
            Some(format!("its hello has a concurrency that is not from 1 to {CONCURRENCY_MAX}"))
        } else if !self.alive_ms.is_none_or(|millis| ALIVE_MILLIS.contains(&millis)) {
            Some("its hello has an alive_ms that is not from 1000 to 60000".to_owned())
        } else {
            None
        }
    }
}

/// Why a line is not a message. It never contains the line, which is untrusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbage {
    /// The line is longer than [`LINE_BYTES_MAX`]. It is skipped.
    #[error("a line has more than 1 MiB")]
    TooLong,
    /// The line is not the expected JSON.
    #[error("a line is not a message: {0}")]
    Malformed(String),
}

/// Splits what a process sends into messages. Buffers at most one read and one line of valid length.
#[derive(Default)]
pub(super) struct Lines {
    received: Vec<u8>,
    /// Where the first line begins that `next` has not returned yet.
    start: usize,
    /// There is no line break between `start` and here.
    searched: usize,
    /// Whether the rest of an overlong line is being skipped.
    skipping: bool,
}

impl Lines {
    /// Adds received bytes. Call `next` until it returns `None` before the next call.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        if self.skipping {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            (bytes, self.skipping) = (&bytes[end + 1..], false);
        }
        self.received.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.received.extend_from_slice(bytes);
    }

    /// The next message; `None` if there is no complete line.
    pub(super) fn next(&mut self) -> Option<Result<Message, Garbage>> {
        let end = self.received[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.received.len();
            if self.received.len() - self.start <= LINE_BYTES_MAX {
                return None;
            }
            *self = Lines { skipping: true, ..Lines::default() };
            return Some(Err(Garbage::TooLong));
        };
        let line = &self.received[self.start..end];
        let message = match line.len() {
            ..=LINE_BYTES_MAX => serde_json::from_slice(line).map_err(malformed),
            _ => Err(Garbage::TooLong),
        };
        (self.start, self.searched) = (end + 1, end + 1);
        Some(message)
    }
}

fn malformed(error: serde_json::Error) -> Garbage {
    let kind = format!("{:?}", error.classify()).to_lowercase();
    Garbage::Malformed(format!("{kind} error at column {}", error.column()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.next()).map(|message| format!("{message:?}")).collect()
    }

    #[test]
    fn messages_are_read_however_the_bytes_are_split() {
        let sent = b"{\"alive\":{}}\n{\"done\":{\"id\":\"x\",\"result\":[1]}}\n".repeat(3);
        for size in 1..sent.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in sent.chunks(size) {
                lines.push(part);
                found.extend(read(&mut lines));
            }
            assert_eq!(found.len(), 6, "in parts of {size} bytes");
            assert!(found.iter().all(|message| message.starts_with("Ok(")), "{found:?}");
        }
    }

    #[test]
    fn an_endless_line_is_skipped_and_not_kept() {
        let mut lines = Lines::default();
        let part = vec![b'x'; 64 << 10];
        let mut found = Vec::new();
        for _ in 0..100 {
            lines.push(&part);
            found.extend(read(&mut lines));
            assert!(lines.received.capacity() <= 2 * (LINE_BYTES_MAX + part.len()));
        }
        assert_eq!(found, ["Err(TooLong)"]);
        lines.push(b"x\n{\"alive\":{}}\n");
        assert_eq!(read(&mut lines), ["Ok(Alive(Alive))"]);
    }

    #[test]
    fn a_result_may_be_nested_deeply() {
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        let mut lines = Lines::default();
        lines.push(format!("{{\"done\":{{\"id\":\"x\",\"result\":{deep}}}}}\n").as_bytes());
        assert!(matches!(lines.next(), Some(Ok(Message::Done(_)))));
    }

    #[test]
    fn garbage_is_not_quoted() {
        let mut lines = Lines::default();
        lines.push(b"hunter2\n{\"hunter2\":{}}\n{\"done\":{}}\n\xff\xfe\n[]\n{\"alive\":{}} x\n\n");
        let found = read(&mut lines);
        assert_eq!(found.len(), 7, "{found:?}");
        assert!(found.iter().all(|text| text.starts_with("Err(") && !text.contains("hunter2")));
    }

    #[test]
    fn a_hello_is_checked() {
        let hello = |change: fn(&mut Hello)| {
            let types = vec!["report".to_owned()];
            let (concurrency, alive_ms) = (None, None);
            let mut hello = Hello { protocol: 1, sdk: None, types, concurrency, alive_ms };
            change(&mut hello);
            hello.problem()
        };
        assert_eq!(hello(|_| ()), None);
        assert!(hello(|hello| hello.protocol = 2).unwrap().contains("version 2"));
        assert!(hello(|hello| hello.types.clear()).unwrap().contains("1 to 1000 job types"));
        assert!(hello(|hello| hello.types.push("a\nb".into())).is_some());
        assert!(hello(|hello| hello.types.push("report".into())).unwrap().contains("twice"));
        assert!(hello(|hello| hello.sdk = Some("x".repeat(101))).unwrap().contains("sdk"));
        assert!(hello(|hello| hello.alive_ms = Some(0)).unwrap().contains("alive_ms"));
        assert!(hello(|hello| hello.concurrency = Some(0)).unwrap().contains("concurrency"));
    }

    fn arbitrary_line() -> impl Strategy<Value = Vec<u8>> {
        let message = prop_oneof![
            Just(r#"{"alive":{}}"#.to_owned()),
            ".{0,40}"
                .prop_map(|text| serde_json::json!({"log": {"id": "x", "text": text}}).to_string()),
            any::<f64>().prop_map(|done| format!(r#"{{"progress":{{"id":"x","done":{done:?}}}}}"#)),
            ".{0,20}".prop_map(
                |text| serde_json::json!({"done": {"id": text, "result": text}}).to_string()
            ),
            "\\PC{0,60}",
        ];
        prop_oneof![message.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..80)]
    }

    proptest! {
        /// Each line yields one message or error, however the bytes are split.
        #[test]
        fn any_bytes_yield_one_result_per_line(
            sent in prop::collection::vec(arbitrary_line(), 0..20),
            size in 1usize..200,
        ) {
            let mut bytes: Vec<u8> = sent.join(&b'\n');
            bytes.push(b'\n');
            let mut whole = Lines::default();
            whole.push(&bytes);
            let whole = read(&mut whole);
            prop_assert_eq!(whole.len(), bytes.iter().filter(|byte| **byte == b'\n').count());
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for part in bytes.chunks(size) {
                lines.push(part);
                found.extend(read(&mut lines));
            }
            prop_assert_eq!(found, whole);
        }
    }
}
