//! Rescues the executions of lost workers: an execution whose lease has expired is failed on the worker's
//! behalf, and the next attempt's row is inserted in the same statement.
//!
//! A worker that is late but alive may still write its own result until the rescuer has run. After that,
//! its result is refused.

use std::time::Duration;

use shared::clock::{Time, delta};
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::random::Random;
use shared::store::{DbTime, Expired, Finish, PollSummary, Result};
use shared::tenants::OpenTenant;
use tracing::warn;

use crate::dispatcher::Remaining;

/// How long an expired lease is still honoured, for a result that is in flight.
const GRACE: Duration = Duration::from_secs(5);
/// The most rows in one statement.
const BATCH_MAX: i64 = 100;

/// When executions may have to be rescued, by the summary of a poll.
pub fn next_at(summary: &PollSummary) -> Option<Time> {
    summary.next_lease_until.map(|until| until + delta(GRACE))
}

/// Rescues the lost executions of one tenant, if there may be some, and returns what is left to do. `now`
/// is the time of its database.
pub async fn rescue(
    tenant: &OpenTenant,
    summary: &PollSummary,
    now: DbTime,
    random: &Random,
    metrics: &Metrics,
) -> Result<Remaining> {
    if next_at(summary).is_none_or(|at| at >= now) {
        return Ok(Remaining::Nothing);
    }
    let expired_before = now - delta(GRACE);
    let expired = tenant.store.read_expired(expired_before, BATCH_MAX).await?;
    if expired.is_empty() {
        return Ok(Remaining::Nothing);
    }
    let outcomes: Vec<Outcome> = expired.iter().map(outcome).collect();
    let finishes: Vec<Finish> = expired
        .iter()
        .zip(&outcomes)
        .map(|(row, outcome)| {
            Finish::of(outcome, &row.attempts(), (row.id, &row.worker), now, random)
        })
        .collect();
    let finished = tenant.store.finish_expired(&finishes, expired_before, now).await?;
    for (row, finish) in expired.iter().zip(&finishes) {
        let Some(finished) = finished.iter().find(|finished| finished.id == row.id) else {
            continue;
        };
        metrics.rows_rescued.inc();
        metrics.finished(None, finish.ending.status, finish.ending.error_kind);
        let message = finish.ending.error_message.as_deref().unwrap_or_default();
        warn!(
            tenant = tenant.slug(), job = row.name, execution = %row.id, attempt = row.attempt,
            another_attempt = finished.has_next_attempt, "rescued: {message}"
        );
    }
    // A next attempt may be due already, and there may be more than a batch.
    Ok(if finished.is_empty() { Remaining::Nothing } else { Remaining::More })
}

/// A lease is not renewed past the attempt's deadline, so a handler that hangs in a live worker is rescued
/// as well: if the lease lasted until the deadline, the attempt has timed out. If it expired earlier, the
/// worker was lost, however late that is noticed: the outcome must not depend on when the rescuer runs.
fn outcome(row: &Expired) -> Outcome {
    if row.lease_until >= row.deadline_at {
        let limit = (row.deadline_at - row.started_at).to_std().unwrap_or_default();
        Outcome::Timeout { limit }
    } else {
        Outcome::Lost { worker: row.worker.clone() }
    }
}
