//! What a job is: the recurring or one-off definition that a tenant keeps in its own database.
//!
//! First of the files that follow one job through its life; next: `schedule.rs`, when it is due.
//! One planned time of a job is an *occurrence*; the record of one attempt at it is an
//! [execution](crate::execution).

use serde::Serialize;
use serde_json::Value;

use crate::clock::Time;
use crate::id::JobId;
use crate::string_enum::string_enum;

/// The most that a job's payload may hold, in bytes of JSON text. The table refuses more.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// A row of `job`. Users own every field but those marked otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Given by the tenant's database.
    pub id: JobId,
    /// Unique within the tenant.
    pub name: String,
    /// Chooses the handler.
    pub job_type: String,
    /// What the handler is given.
    pub payload: Value,
    /// When it runs; see `schedule.rs` for the forms.
    pub schedule: Value,
    /// False stops new occurrences. The engine clears it when the schedule is used up.
    pub is_enabled: bool,
    /// The next occurrence. The engine's; null means "work it out, from now".
    pub next_run_at: Option<Time>,
    /// Which queue its executions are published to.
    pub queue: String,
    /// The longest one attempt may run; null means the configured default.
    pub timeout_seconds: Option<i32>,
    /// How many attempts that count one occurrence gets, the first included.
    pub max_attempts: i32,
    /// The backoff before the second attempt, doubled for each later one.
    pub retry_base_seconds: i32,
    /// What becomes of occurrences that nobody saw in time.
    pub misfire_policy: MisfirePolicy,
    /// How late an occurrence may first be seen before it counts as a misfire.
    pub misfire_grace_seconds: i32,
    /// What becomes of an occurrence whose predecessor isn't over.
    pub overlap_policy: OverlapPolicy,
    /// What becomes of an occurrence whose worker was lost or shut down.
    pub orphan_policy: OrphanPolicy,
    /// Counts edits. The engine's and the edit trigger's; users' edits are compared against it.
    pub version: i32,
    /// Since when the present schedule counts. The engine's.
    pub schedule_since: Option<Time>,
    /// Why the schedule cannot be followed. The engine's; an edit of the schedule clears it.
    pub quarantined_reason: Option<String>,
    /// Up to and including this time, occurrences may be missing from the history. The engine's.
    pub pruned_until: Option<Time>,
    /// Who is told of final failure, lateness and recovery; null means as the tenant says.
    pub notify: Option<Value>,
    /// Since when it fails. The engine's.
    pub failing_since: Option<Time>,
    /// Since when it is late. The engine's.
    pub late_since: Option<Time>,
    /// Set by the database.
    pub created_at: Time,
    /// Set by whoever edits.
    pub updated_at: Time,
}

string_enum! {
    /// What becomes of the occurrences that were first seen later than the grace.
    pub enum MisfirePolicy {
        /// The latest runs and stands for the rest.
        RunOnce = "run_once",
        /// Each runs, in order, up to a bound.
        RunAll = "run_all",
        /// None runs.
        Skip = "skip",
    }
}

string_enum! {
    /// What becomes of an occurrence that is due while an earlier one isn't over.
    pub enum OverlapPolicy {
        /// It does not run.
        Skip = "skip",
        /// It waits; while one waits, further ones do not run.
        Queue = "queue",
        /// It runs alongside.
        Allow = "allow",
    }
}

string_enum! {
    /// What becomes of an occurrence whose attempt ended without the handler's doing: its worker
    /// was lost, or shut down.
    pub enum OrphanPolicy {
        /// The next attempt is made at once.
        Retry = "retry",
        /// There is no next attempt: for handlers that must not run twice.
        Fail = "fail",
    }
}
