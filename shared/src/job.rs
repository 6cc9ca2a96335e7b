//! A job: the recurring or one-off definition that a tenant keeps in its own database.
//!
//! This is the first file on a job's path through the code. Next is `schedule.rs`, which computes
//! when it is due. A planned time of a job is an *occurrence*, and the record of one attempt at it
//! is an [execution](crate::execution).

use serde::Serialize;
use serde_json::Value;

use crate::clock::Time;
use crate::id::JobId;
use crate::string_enum::string_enum;

/// The largest payload of a job, in bytes of JSON text. The table rejects larger ones.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// A row of `polychron_job`. Users own every field unless it is marked otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Assigned by the tenant's database.
    pub id: JobId,
    /// Unique within the tenant.
    pub name: String,
    /// Selects the handler.
    pub job_type: String,
    /// The handler's input.
    pub payload: Value,
    /// When it runs; `schedule.rs` describes the forms.
    pub schedule: Value,
    /// If false, there are no new occurrences. The engine clears it after the schedule's last one.
    pub is_enabled: bool,
    /// The next occurrence, owned by the engine. Null means that the producer must arm the job.
    pub next_run_at: Option<Time>,
    /// The queue that its executions are published to.
    pub queue: String,
    /// The maximum duration of one attempt; null means the configured default.
    pub timeout_seconds: Option<i32>,
    /// The maximum number of attempts per occurrence, including the first. Attempts ended by a
    /// worker's shutdown do not count.
    pub max_attempts: i32,
    /// The backoff before the second attempt, doubled for each later one.
    pub retry_base_seconds: i32,
    /// What happens to occurrences that the producer saw too late.
    pub misfire_policy: MisfirePolicy,
    /// How late the producer may see an occurrence before it is a misfire.
    pub misfire_grace_seconds: i32,
    /// What happens to an occurrence whose predecessor has not finished.
    pub overlap_policy: OverlapPolicy,
    /// What happens to an occurrence whose worker was lost or shut down.
    pub orphan_policy: OrphanPolicy,
    /// Counts edits, for optimistic locking. Owned by the engine and the edit trigger.
    pub version: i32,
    /// When the current schedule took effect. Owned by the engine.
    pub schedule_since: Option<Time>,
    /// Why the schedule is invalid. Owned by the engine; an edit of the schedule clears it.
    pub quarantined_reason: Option<String>,
    /// Occurrences up to and including this time may have been pruned. Owned by the engine.
    pub pruned_until: Option<Time>,
    /// The notification target for permanent failure, lateness and recovery; null means the
    /// tenant's target.
    pub notify: Option<Value>,
    /// Since when it has been failing. Owned by the engine.
    pub failing_since: Option<Time>,
    /// Since when it has been late. Owned by the engine.
    pub late_since: Option<Time>,
    /// Set by the database.
    pub created_at: Time,
    /// When it was last edited.
    pub updated_at: Time,
}

string_enum! {
    /// What happens to occurrences that the producer saw later than the grace.
    pub enum MisfirePolicy {
        /// The latest one runs and stands for the others.
        RunOnce = "run_once",
        /// All run, in order, up to a limit.
        RunAll = "run_all",
        /// None runs.
        Skip = "skip",
    }
}

string_enum! {
    /// What happens to an occurrence that is due before an earlier one has finished.
    pub enum OverlapPolicy {
        /// It does not run.
        Skip = "skip",
        /// It waits. While one waits, further ones are skipped.
        Queue = "queue",
        /// It runs concurrently.
        Allow = "allow",
    }
}

string_enum! {
    /// What happens to an occurrence whose attempt ended because its worker was lost or shut down.
    pub enum OrphanPolicy {
        /// It is attempted again immediately.
        Retry = "retry",
        /// There is no next attempt: for handlers that must not run twice.
        Fail = "fail",
    }
}
