//! One execution in a handler process.

use std::time::Duration;

use shared::clock::BootTime;
use shared::id::ExecutionId;
use shared::outcome::{Failure, Outcome, RESULT_DEPTH_MAX};
use shared::output::{Output, Progress};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::protocol;
use crate::stop::StopReason;

/// The reply to [`Request::Start`].
pub(super) enum Answer {
    /// The execution has ended.
    Ended(Outcome),
    /// The process could not start it; the handler has not run.
    NotStarted,
}

/// A request to the task of a process.
pub(super) enum Request {
    /// Start an execution.
    Start(Box<Run>),
    /// Stop an execution.
    Cancel { id: ExecutionId, why: StopReason },
    /// Start no more executions, and exit once the process holds none.
    Retire,
    /// The same, and stop the executions that it holds.
    End,
}

/// A permit for one execution in a process. Dropping it frees the place.
pub(super) struct Place {
    requests: mpsc::UnboundedSender<Request>,
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Place {
    /// `requests` leads to the process's task; `release` is called when the place is dropped.
    pub(super) fn new(
        requests: mpsc::UnboundedSender<Request>,
        release: impl FnOnce() + Send + Sync + 'static,
    ) -> Place {
        Place { requests, release: Some(Box::new(release)) }
    }

    /// Drops it without calling `release`.
    pub(super) fn disarm(mut self) {
        self.release = None;
    }

    /// Sends requests to the process's task.
    pub(super) fn requests(&self) -> mpsc::UnboundedSender<Request> {
        self.requests.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// An execution that a process holds or is about to start.
pub(super) struct Run {
    pub(super) id: ExecutionId,
    /// The tenant's slug, for the log.
    pub(super) tenant: String,
    /// The job's name, for the log.
    pub(super) job: String,
    /// The start message.
    pub(super) line: Vec<u8>,
    pub(super) output: Output,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Set once the execution is cancelled: when the process is stopped if it has not ended by then.
    pub(super) stop: Option<Stop>,
    /// Whether it ends as an attempt that does not count, because a stuck one stops the process.
    pub(super) is_given_back: bool,
    /// Its place in the process.
    pub(super) place: Place,
    /// Keeps the execution's slot.
    pub(super) busy: TaskTrackerToken,
}

/// The end of a cancelled execution's grace.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    pub(super) at: BootTime,
    pub(super) why: StopReason,
}

impl Run {
    /// Sends it to the process of its place. If that process has exited, it is rejected.
    pub(super) fn start(self) {
        let sent = self.place.requests.clone().send(Request::Start(Box::new(self)));
        if let Err(mpsc::error::SendError(Request::Start(run))) = sent {
            run.reject();
        }
    }

    /// Reports the outcome. Place and slot are freed first.
    pub(super) fn end(self, outcome: Outcome) {
        drop((self.place, self.busy));
        let _ = self.answer.send(Answer::Ended(outcome)); // a stopped attempt has its outcome already
    }

    /// Reports that the handler was not started.
    pub(super) fn reject(self) {
        drop((self.place, self.busy));
        let _ = self.answer.send(Answer::NotStarted);
    }
}

/// How long a cancelled execution may continue before the process gets SIGTERM.
pub(super) fn grace(why: StopReason) -> Duration {
    match why {
        // Another worker may already be starting the next attempt.
        StopReason::LeaseLost => Duration::from_millis(200),
        StopReason::Timeout | StopReason::Request | StopReason::Shutdown => Duration::from_secs(2),
    }
}

/// How long a process may take to exit after SIGTERM before it gets SIGKILL.
pub(super) fn term_limit(why: StopReason) -> Duration {
    match why {
        StopReason::LeaseLost => Duration::from_millis(300),
        StopReason::Timeout | StopReason::Request | StopReason::Shutdown => {
            Duration::from_millis(1500)
        }
    }
}

/// The outcome of a `done` message.
pub(super) fn success(done: &protocol::Done) -> Outcome {
    let text = done.result.as_ref().map_or("null", |result| result.get());
    let result = serde_json::from_str(text).unwrap_or_else(|_| {
        // It is valid JSON, but nested too deeply for the parser and for the row.
        serde_json::json!({"polychron_cut": {"nested_more_than": RESULT_DEPTH_MAX}})
    });
    Outcome::Success(result)
}

/// The outcome of a `failed` message.
pub(super) fn failure(failed: protocol::Failed) -> Outcome {
    let protocol::Failed { kind, message, detail, retry, retry_after_ms, .. } = failed;
    let message = match kind.filter(|kind| !kind.is_empty()) {
        Some(kind) if message.is_empty() => kind,
        Some(kind) => format!("{kind}: {message}"),
        None if message.is_empty() => "the handler failed without a message".to_owned(),
        None => message,
    };
    // A cast from a float saturates, and retries have an upper limit anyway.
    let retry_after = retry_after_ms.map(|millis| Duration::from_millis(millis as u64));
    let retry = retry.unwrap_or(true);
    Outcome::Failure(Failure { message, detail, retry, retry_after })
}

/// The progress that a process reports. Casts from floats saturate.
pub(super) fn progress(progress: protocol::Progress) -> Progress {
    let protocol::Progress { done, total, message, .. } = progress;
    let total = total.map(|total| total as u64);
    Progress { done: done as u64, total, message: message.unwrap_or_default() }
}

/// A line of output in the format that `tracing` events of Rust handlers have.
pub(super) fn log_line(log: &protocol::Log) -> String {
    let level = log.level.as_deref().filter(|level| (1..=10).contains(&level.len()));
    let level = level.unwrap_or("info").to_uppercase();
    format!("{level} {}", log.text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_error_is_its_kind_and_message() {
        let failed = |text: &str| match failure(serde_json::from_str(text).unwrap()) {
            Outcome::Failure(failure) => failure,
            other => panic!("{other:?}"),
        };
        let whole = failed(
            r#"{"id":"x","kind":"ValueError","message":"no","detail":"tb","retry":false,"retry_after_ms":-5}"#,
        );
        assert_eq!(
            (whole.message.as_str(), whole.detail.as_deref()),
            ("ValueError: no", Some("tb"))
        );
        assert_eq!((whole.retry, whole.retry_after), (false, Some(Duration::ZERO)));
        assert_eq!(failed(r#"{"id":"x","message":"no"}"#).message, "no");
        assert_eq!(failed(r#"{"id":"x","kind":"KeyError","message":""}"#).message, "KeyError");
        assert!(failed(r#"{"id":"x","message":"","retry":null}"#).retry);
        let far = failed(r#"{"id":"x","message":"","retry_after_ms":1e300}"#);
        assert_eq!(far.retry_after, Some(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn a_result_nested_too_deeply_becomes_a_note() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let done = serde_json::from_str(&format!(r#"{{"id":"x","result":{deep}}}"#)).unwrap();
        let Outcome::Success(kept) = success(&done) else { panic!() };
        assert_eq!(kept["polychron_cut"]["nested_more_than"], RESULT_DEPTH_MAX);
        let done = serde_json::from_str(r#"{"id":"x"}"#).unwrap();
        assert_eq!(success(&done), Outcome::Success(Value::Null));
    }
}
