//! The outcomes of attempts. Every attempt ends with an [`Outcome`], which the consumer
//! (`consumer/executor.rs`) or the rescue determines. The row's final values and the next attempt
//! follow from it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::execution::{ErrorKind, Status};
use crate::secrets::Redactor;

/// The longest error message that is kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// The longest chain of causes with backtrace that is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 64 * 1024;
/// The largest result that is kept, in bytes of JSON text.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;
/// The longest output that is kept, in bytes; only the end of a longer one is.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// The deepest nesting of a result. SQLite parses 1000 levels, serde_json only 128.
pub const RESULT_DEPTH_MAX: usize = 100;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The handler returned this.
    Success(Value),
    /// The handler returned an error, or could not read its payload.
    Failure(Failure),
    /// The attempt ran past its deadline.
    Timeout {
        /// The longest it was allowed to run.
        limit: Duration,
    },
    /// The handler panicked.
    Panic {
        /// What it panicked with.
        message: String,
        /// Where, with the backtrace.
        detail: String,
    },
    /// The handler process exited or was killed while it held the execution.
    Crash {
        /// The exit status or the signal.
        message: String,
        /// The end of its output, if there is any.
        detail: Option<String>,
    },
    /// The consumer has no handler for this type.
    UnknownType {
        /// The job's type.
        job_type: String,
        /// The types that this consumer handles.
        known: Vec<String>,
    },
    /// The lease expired.
    Lost {
        /// The worker that held it.
        worker: String,
    },
    /// The worker shut down before the handler finished.
    Shutdown {
        /// The worker that gave the row back.
        worker: String,
    },
    /// A person or a program cancelled it.
    Cancelled,
}

/// A handler's error.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What went wrong, in a sentence.
    pub message: String,
    /// The chain of causes, outermost first.
    pub detail: Option<String>,
    /// Whether another attempt may succeed.
    pub retry: bool,
    /// The delay of the next attempt, if it is to replace the job's backoff.
    pub retry_after: Option<Duration>,
}

/// The values that a row gets when its attempt ends. Texts are cleaned and truncated.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The final status.
    pub status: Status,
    /// Why it did not succeed.
    pub error_kind: Option<ErrorKind>,
    /// The error in a sentence.
    pub error_message: Option<String>,
    /// The chain of causes and the backtrace.
    pub error_detail: Option<String>,
    /// What the handler returned.
    pub result: Option<Value>,
}

impl Outcome {
    /// The row's final values.
    pub fn ending(&self) -> Ending {
        use ErrorKind as Kind;
        match self {
            Outcome::Success(result) => Ending {
                status: Status::Success,
                error_kind: None,
                error_message: None,
                error_detail: None,
                result: Some(storable(result)),
            },
            Outcome::Failure(Failure { message, detail, .. }) => {
                failed(Kind::Handler, message, detail.as_deref())
            }
            Outcome::Timeout { limit } => failed(
                Kind::Timeout,
                &format!("ran longer than its {}", humantime::format_duration(in_millis(*limit))),
                None,
            ),
            Outcome::Panic { message, detail } => failed(Kind::Panic, message, Some(detail)),
            Outcome::Crash { message, detail } => failed(Kind::Crash, message, detail.as_deref()),
            Outcome::UnknownType { job_type, known } => failed(
                Kind::UnknownType,
                &format!(
                    "no handler for job type `{job_type}`; this consumer knows {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                ),
                None,
            ),
            Outcome::Lost { worker } => failed(
                Kind::Lost,
                &format!("the lease of worker {worker} ran out: it died, hung or was cut off"),
                None,
            ),
            Outcome::Shutdown { worker } => Ending {
                status: Status::Cancelled,
                ..failed(Kind::Shutdown, &format!("worker {worker} shut down"), None)
            },
            Outcome::Cancelled => Ending {
                status: Status::Cancelled,
                ..failed(Kind::Cancelled, "cancelled on request", None)
            },
        }
    }
}

impl Outcome {
    /// The outcome with the execution's secrets redacted.
    pub fn redacted(self, redactor: &Redactor) -> Outcome {
        let text = |text: String| redactor.redact(&text);
        match self {
            Outcome::Success(result) => Outcome::Success(redactor.redact_json(result)),
            Outcome::Failure(Failure { message, detail, retry, retry_after }) => {
                let (message, detail) = (text(message), detail.map(text));
                Outcome::Failure(Failure { message, detail, retry, retry_after })
            }
            Outcome::Panic { message, detail } => {
                Outcome::Panic { message: text(message), detail: text(detail) }
            }
            Outcome::Crash { message, detail } => {
                Outcome::Crash { message: text(message), detail: detail.map(text) }
            }
            Outcome::Timeout { .. }
            | Outcome::UnknownType { .. }
            | Outcome::Lost { .. }
            | Outcome::Shutdown { .. }
            | Outcome::Cancelled => self,
        }
    }
}

/// Rounds to milliseconds: the limit is computed as the difference of two times.
fn in_millis(limit: Duration) -> Duration {
    Duration::from_millis((limit.as_secs_f64() * 1000.0).round() as u64)
}

fn failed(kind: ErrorKind, message: &str, detail: Option<&str>) -> Ending {
    Ending {
        status: Status::Failed,
        error_kind: Some(kind),
        error_message: Some(clean(message, MESSAGE_BYTES_MAX)),
        error_detail: detail.map(|detail| clean(detail, DETAIL_BYTES_MAX)),
        result: None,
    }
}

/// Makes a text safe to store and show. It removes passwords in URLs, replaces NUL (which PostgreSQL
/// rejects) by U+FFFD, and truncates the text to `bytes_max` at a character boundary, with a mark.
pub fn clean(text: &str, bytes_max: usize) -> String {
    const MARK: &str = " […]";
    let mut kept = without_passwords(text).replace('\0', "\u{FFFD}");
    if kept.len() > bytes_max {
        kept.truncate(kept.floor_char_boundary(bytes_max - MARK.len()));
        kept.push_str(MARK);
    }
    kept
}

/// Replaces the text between `://` and `@` in each URL of a text. Errors of databases and HTTP
/// clients often quote the URL.
fn without_passwords(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        kept.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>)".contains(c));
        let url = &after[..end.unwrap_or(after.len())];
        let host = url.rfind('@').map_or(0, |at| at);
        if host > 0 {
            kept.push('…');
        }
        rest = &after[host..];
    }
    kept.push_str(rest);
    kept
}

/// A result that can be stored. One that is too deep or too large is replaced by a note rather than
/// failing the attempt, because the handler's work is done and must not be repeated.
fn storable(result: &Value) -> Value {
    // Check the depth first: serialising recurses as deeply as the value is nested.
    if is_deeper_than(result, RESULT_DEPTH_MAX) {
        return json!({"polychron_cut": {"nested_more_than": RESULT_DEPTH_MAX}});
    }
    let text = result.to_string();
    if text.len() > RESULT_BYTES_MAX {
        let beginning = clean(&text, 1024);
        return json!({"polychron_cut": {"bytes": text.len(), "beginning": beginning}});
    }
    if text.contains("\\u0000") { without_nul(result) } else { result.clone() }
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(values) => values.iter().any(|value| is_deeper_than(value, levels - 1)),
        Value::Object(fields) => fields.values().any(|value| is_deeper_than(value, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{FFFD}")),
        Value::Array(values) => values.iter().map(without_nul).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('\0', "\u{FFFD}"), without_nul(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_loses_its_nul() {
        assert_eq!(clean("a\0b", 10), "a\u{FFFD}b");
        assert_eq!(clean("äöüäöüäöü", 11), "äö […]");
        assert_eq!(clean("short", 5), "short");
    }

    #[test]
    fn a_password_in_a_url_does_not_stay() {
        for (text, kept) in [
            ("no route to postgres://ann:s3cret@db/x now", "no route to postgres://…@db/x now"),
            ("'https://tok@a/b' and http://c/d, e@f", "'https://…@a/b' and http://c/d, e@f"),
            ("amqp://u:p@ss@h", "amqp://…@h"),
            ("a://", "a://"),
        ] {
            assert_eq!(clean(text, 100), kept);
        }
    }

    #[test]
    fn a_result_too_large_becomes_a_note_and_nul_is_replaced_everywhere() {
        let large = json!("x".repeat(RESULT_BYTES_MAX));
        let kept = Outcome::Success(large).ending().result.unwrap();
        assert_eq!(kept["polychron_cut"]["bytes"], RESULT_BYTES_MAX + 2);
        let nul = Outcome::Success(json!({"a\0": ["\0", {"b": "c\0d"}]})).ending().result.unwrap();
        assert_eq!(nul, json!({"a\u{FFFD}": ["\u{FFFD}", {"b": "c\u{FFFD}d"}]}));
    }

    #[test]
    fn a_result_too_deep_becomes_a_note() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({"a": [0, inner]}));
        let fits = nested(RESULT_DEPTH_MAX / 2);
        assert_eq!(Outcome::Success(fits.clone()).ending().result, Some(fits));
        let kept = Outcome::Success(nested(1000)).ending().result.unwrap();
        assert_eq!(kept["polychron_cut"]["nested_more_than"], RESULT_DEPTH_MAX);
    }

    #[test]
    fn an_unknown_type_names_the_known_ones() {
        let outcome = Outcome::UnknownType { job_type: "mail".into(), known: vec!["noop".into()] };
        let message = outcome.ending().error_message.unwrap();
        assert_eq!(message, "no handler for job type `mail`; this consumer knows noop");
    }
}
