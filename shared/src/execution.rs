//! The record of one attempt at one occurrence, its statuses, and which moves are legal.
//!
//! ```text
//!    scheduled ──dispatch──► dispatched ──claim──► running ──finish──► success
//!    (a retry, a manual run,     │  ▲ publish, and       │             failed      (+ the next attempt's row)
//!     an occurrence that waits)  └──┘ sweep if unheard   └──rescue───► failed/lost (+ the next attempt's row)
//!    any unfinished ──► cancelled            an occurrence that will not run ──► skipped
//! ```
//!
//! Every move is one guarded statement in `shared/sql/`; a row that has reached a final status is
//! never written again.

use serde::Serialize;
use serde_json::Value;

use crate::clock::Time;
use crate::id::{ExecutionId, JobId};
use crate::string_enum::string_enum;

string_enum! {
    /// Where an execution is in its life.
    pub enum Status {
        /// Waits for its time (a retry, a manual run) or its turn (overlap, `max_running`). The
        /// producer moves it on.
        Scheduled = "scheduled",
        /// May be claimed; a message names it. A consumer moves it on.
        Dispatched = "dispatched",
        /// A worker holds its lease. That worker moves it on, or the rescuer once the lease ends.
        Running = "running",
        /// Final: the handler returned a result.
        Success = "success",
        /// Final: the attempt came to nothing; `error_kind` says how.
        Failed = "failed",
        /// Final: asked for, or released by a worker that shut down.
        Cancelled = "cancelled",
        /// Final: an occurrence that will not run; `error_kind` and `error_message` say why.
        Skipped = "skipped",
    }
}

impl Status {
    /// Whether a row of this status is never written again.
    pub const fn is_final(self) -> bool {
        matches!(self, Status::Success | Status::Failed | Status::Cancelled | Status::Skipped)
    }

    /// Whether the engine may move a row from this status to `next`. A birth is not a move.
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
    /// What brought a row into being.
    pub enum Trigger {
        /// The job's schedule.
        Schedule = "schedule",
        /// A person or a program asked for it.
        Manual = "manual",
        /// The attempt before it failed.
        Retry = "retry",
        /// The attempt before it lost its worker.
        Rescue = "rescue",
    }
}

string_enum! {
    /// Why a row ended other than in success.
    pub enum ErrorKind {
        /// The handler returned an error, or could not read its payload.
        Handler = "handler",
        /// The attempt ran past its deadline.
        Timeout = "timeout",
        /// The handler panicked.
        Panic = "panic",
        /// The consumer knows no handler of the job's type.
        UnknownType = "unknown_type",
        /// The lease ran out: the worker died, hung or was cut off.
        Lost = "lost",
        /// The worker shut down and gave the row back.
        Shutdown = "shutdown",
        /// Somebody asked for the end.
        Cancelled = "cancelled",
        /// The occurrence was first seen later than the grace.
        Misfire = "misfire",
        /// An earlier occurrence wasn't over.
        Overlap = "overlap",
    }
}

/// A row of `polychron_job_execution`, as history shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Execution {
    /// Also the message id in the broker and the idempotency key for handlers.
    pub id: ExecutionId,
    /// The job, which may have been deleted since.
    pub job_id: JobId,
    /// The job's name, unless it has been deleted.
    pub job_name: Option<String>,
    /// The occurrence.
    pub scheduled_for: Time,
    /// What brought this row into being.
    pub trigger: Trigger,
    /// 1 for the first attempt at the occurrence, without holes.
    pub attempt: i32,
    /// Where it is.
    pub status: Status,
    /// When a scheduled row may be dispatched; null while it waits for its turn.
    pub available_at: Option<Time>,
    /// When it became claimable.
    pub dispatched_at: Option<Time>,
    /// When the broker last confirmed a message that names it; null also when the claim came
    /// before that was recorded.
    pub published_at: Option<Time>,
    /// How many publishes were recorded.
    pub publish_count: i32,
    /// When a worker claimed it.
    pub started_at: Option<Time>,
    /// When it became final.
    pub finished_at: Option<Time>,
    /// Until when the worker may be silent.
    pub lease_until: Option<Time>,
    /// When the attempt times out.
    pub deadline_at: Option<Time>,
    /// Who claimed it.
    pub worker: Option<String>,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// The job's version at the claim.
    pub job_version: Option<i32>,
    /// What the handler was given.
    pub payload: Option<Value>,
    /// Why it ended other than in success.
    pub error_kind: Option<ErrorKind>,
    /// The same in a sentence.
    pub error_message: Option<String>,
    /// The chain of causes, and a backtrace where there is one.
    pub error_detail: Option<String>,
    /// What the handler returned.
    pub result: Option<Value>,
    /// What the handler put out, its end; grows while it runs.
    pub output: Option<String>,
    /// How far it has come, by its own word.
    pub progress: Option<Value>,
    /// How many occurrences this row accounts for: those up to and including `scheduled_for`.
    pub stands_for: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_status_becomes_nothing_and_every_other_can_become_final() {
        for from in Status::ALL {
            let next: Vec<_> = Status::ALL.iter().filter(|to| from.may_become(**to)).collect();
            assert_eq!(next.is_empty(), from.is_final(), "{from} may become {next:?}");
            if !from.is_final() {
                assert!(from.may_become(Status::Cancelled), "{from} cannot be cancelled");
            }
        }
    }

    #[test]
    fn words_are_read_back_as_written_and_others_are_refused_by_name() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        let error = "done".parse::<Trigger>().unwrap_err();
        assert_eq!(error.to_string(), "`done` is none of schedule, manual, retry, rescue");
    }
}
