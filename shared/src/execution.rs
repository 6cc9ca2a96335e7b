//! The record of one attempt at one occurrence, its statuses and the legal transitions.
//!
//! ```text
//!    scheduled ──dispatch──► dispatched ──claim──► running ──finish──► success
//!    (a retry, a manual run,     │  ▲ publish, and       │             failed      (+ the next attempt's row)
//!     an occurrence that waits)  └──┘ sweep if unclaimed └──rescue───► failed/lost (+ the next attempt's row)
//!    any unfinished ──► cancelled            an occurrence that will not run ──► skipped
//! ```
//!
//! Every transition is one guarded statement in `shared/sql/`. A row with a final status is never
//! written again.

use serde::Serialize;
use serde_json::Value;

use crate::clock::Time;
use crate::id::{ExecutionId, JobId};
use crate::string_enum::string_enum;

string_enum! {
    /// An execution's state.
    pub enum Status {
        /// Waits until `available_at` (a retry, a manual run) or for other executions to finish
        /// (overlap, `max_running`). The producer dispatches it.
        Scheduled = "scheduled",
        /// May be claimed; a message names it. A consumer claims it.
        Dispatched = "dispatched",
        /// A worker holds its lease. That worker finishes it, or it is rescued when the lease
        /// expires.
        Running = "running",
        /// Final: the handler returned a result.
        Success = "success",
        /// Final: the attempt failed; `error_kind` says how.
        Failed = "failed",
        /// Final: cancelled on request, or given back by a worker that shut down.
        Cancelled = "cancelled",
        /// Final: an occurrence that will not run; `error_kind` and `error_message` say why.
        Skipped = "skipped",
    }
}

impl Status {
    /// Whether a row with this status is never written again.
    pub const fn is_final(self) -> bool {
        matches!(self, Status::Success | Status::Failed | Status::Cancelled | Status::Skipped)
    }

    /// Whether the transition from this status to `next` is legal.
    pub const fn may_become(self, next: Status) -> bool {
        matches!(
            (self, next),
            (Status::Scheduled, Status::Dispatched | Status::Cancelled)
                | (Status::Dispatched, Status::Running | Status::Cancelled)
                | (Status::Running, Status::Success | Status::Failed | Status::Cancelled)
        )
    }
}

string_enum! {
    /// Why a row was created.
    pub enum Trigger {
        /// The job's schedule.
        Schedule = "schedule",
        /// A person or a program requested it.
        Manual = "manual",
        /// The previous attempt failed.
        Retry = "retry",
        /// The previous attempt lost its worker.
        Rescue = "rescue",
    }
}

string_enum! {
    /// Why an execution did not succeed.
    pub enum ErrorKind {
        /// The handler returned an error, or could not read its payload.
        Handler = "handler",
        /// The attempt ran past its deadline.
        Timeout = "timeout",
        /// The handler panicked.
        Panic = "panic",
        /// The handler process exited or was killed while it held the execution.
        Crash = "crash",
        /// The consumer has no handler for the job's type.
        UnknownType = "unknown_type",
        /// The lease expired: the worker died, hung or lost its connection.
        Lost = "lost",
        /// The worker shut down and gave the row back.
        Shutdown = "shutdown",
        /// A person or a program cancelled it.
        Cancelled = "cancelled",
        /// The producer saw the occurrence later than the grace.
        Misfire = "misfire",
        /// An earlier occurrence had not finished.
        Overlap = "overlap",
    }
}

/// A row of `polychron_job_execution`, as history shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Execution {
    /// Also the message id in the broker and the idempotency key for handlers.
    pub id: ExecutionId,
    /// The job, which may have been deleted.
    pub job_id: JobId,
    /// The job's name, unless it has been deleted.
    pub job_name: Option<String>,
    /// The occurrence.
    pub scheduled_for: Time,
    /// Why the row was created.
    pub trigger: Trigger,
    /// The number of the attempt at the occurrence: 1, 2, 3, ... without gaps.
    pub attempt: i32,
    /// Its state.
    pub status: Status,
    /// When a scheduled row may be dispatched; null while it waits for other executions.
    pub available_at: Option<Time>,
    /// When it became claimable.
    pub dispatched_at: Option<Time>,
    /// When the broker last confirmed its message; also null if a worker claimed the row before the
    /// confirm was recorded.
    pub published_at: Option<Time>,
    /// How many publishes were recorded.
    pub publish_count: i32,
    /// When a worker claimed it.
    pub started_at: Option<Time>,
    /// When it became final.
    pub finished_at: Option<Time>,
    /// When the lease expires unless the worker sends a heartbeat.
    pub lease_until: Option<Time>,
    /// When the attempt times out.
    pub deadline_at: Option<Time>,
    /// The worker that claimed it.
    pub worker: Option<String>,
    /// Whether cancellation was requested.
    pub cancel_requested: bool,
    /// The job's version at the claim.
    pub job_version: Option<i32>,
    /// The handler's input.
    pub payload: Option<Value>,
    /// Why it did not succeed.
    pub error_kind: Option<ErrorKind>,
    /// The error in a sentence.
    pub error_message: Option<String>,
    /// The chain of causes, and the backtrace if there is one.
    pub error_detail: Option<String>,
    /// What the handler returned.
    pub result: Option<Value>,
    /// The end of the handler's output; updated while it runs.
    pub output: Option<String>,
    /// The handler's progress.
    pub progress: Option<Value>,
    /// How many occurrences this row accounts for; `scheduled_for` is the last of them.
    pub stands_for: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_statuses_have_no_transitions_and_all_others_can_be_cancelled() {
        for from in Status::ALL {
            let next: Vec<_> = Status::ALL.iter().filter(|to| from.may_become(**to)).collect();
            assert_eq!(next.is_empty(), from.is_final(), "{from} may become {next:?}");
            if !from.is_final() {
                assert!(from.may_become(Status::Cancelled), "{from} cannot be cancelled");
            }
        }
    }

    #[test]
    fn strings_round_trip_and_unknown_ones_are_rejected() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        let error = "done".parse::<Trigger>().unwrap_err();
        assert_eq!(error.to_string(), "`done` is not one of schedule, manual, retry, rescue");
    }
}
