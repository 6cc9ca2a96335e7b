//! A job and its rows for this crate's tests.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::clock::Time;
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::id::{ExecutionId, JobId};
use shared::job::{Job, MisfirePolicy, OrphanPolicy, OverlapPolicy};
use shared::random::Random;

use crate::{ClockHistory, Scope};

/// A time of day, on the day of the tests.
pub(crate) fn at(text: &str) -> Time {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

/// The whole day, checked at 13:00.
pub(crate) fn scope() -> Scope {
    Scope {
        from: at("00:00:00"),
        to: None,
        now: at("13:00:00"),
        patience: TimeDelta::minutes(5),
        dispatch_patience: TimeDelta::minutes(5),
        clock: ClockHistory::Monotonic,
    }
}

/// Every ten minutes since 12:00; next at 13:00.
pub(crate) fn job() -> Job {
    Job {
        id: JobId(1),
        name: "job".into(),
        job_type: "noop".into(),
        payload: Value::Null,
        schedule: json!({"every": "10m"}),
        is_enabled: true,
        next_run_at: Some(at("13:00:00")),
        queue: "default".into(),
        timeout_seconds: None,
        max_attempts: 3,
        retry_base_seconds: 10,
        misfire_policy: MisfirePolicy::RunOnce,
        misfire_grace_seconds: 60,
        overlap_policy: OverlapPolicy::Skip,
        orphan_policy: OrphanPolicy::Retry,
        version: 1,
        schedule_since: Some(at("12:00:00")),
        quarantined_reason: None,
        pruned_until: None,
        notify: None,
        failing_since: None,
        late_since: None,
        created_at: at("12:00:00"),
        updated_at: at("12:00:00"),
    }
}

/// An attempt that was claimed at its planned time and ran for a minute.
pub(crate) fn row(
    occurrence: &str,
    attempt: i32,
    status: Status,
    kind: Option<ErrorKind>,
) -> Execution {
    let start = at(occurrence);
    let claimed = (status != Status::Skipped).then_some(start);
    Execution {
        id: ExecutionId::new(start, &Random::seeded(attempt.unsigned_abs().into())),
        job_id: JobId(1),
        job_name: None,
        scheduled_for: start,
        trigger: if attempt == 1 { Trigger::Schedule } else { Trigger::Retry },
        attempt,
        status,
        available_at: None,
        dispatched_at: claimed,
        published_at: claimed,
        publish_count: 1,
        started_at: claimed,
        finished_at: status.is_final().then(|| start + TimeDelta::minutes(1)),
        lease_until: claimed,
        deadline_at: claimed,
        worker: claimed.map(|_| "w".into()),
        cancel_requested: false,
        job_version: claimed.map(|_| 1),
        payload: None,
        error_kind: kind,
        error_message: kind.map(|kind| kind.as_str().to_owned()),
        error_detail: None,
        result: None,
        output: None,
        progress: None,
        stands_for: 1,
    }
}

/// A success.
pub(crate) fn success(occurrence: &str) -> Execution {
    row(occurrence, 1, Status::Success, None)
}
