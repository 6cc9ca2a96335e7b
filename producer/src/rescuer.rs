//! Takes back the executions of lost workers: those whose lease ended are failed in the worker's
//! stead, and the next attempt's rows are born in the same move.
//!
//! After the eight files that follow a job through its life, this is what happens if any of them
//! died. An execution whose worker is late but alive is safe: its own result is accepted until the
//! rescuer comes, and refused from then on.

use std::time::Duration;

use shared::clock::{Time, delta};
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::random::Random;
use shared::store::{Expired, Finish, Result};
use shared::tenants::OpenTenant;
use tracing::warn;

/// How long after its end a lease is honoured, for a result that is on its way.
pub const GRACE: Duration = Duration::from_secs(5);
/// The most rows in one move.
const BATCH_MAX: i64 = 100;

/// Takes back what is lost at one tenant; answers with how many executions that were.
pub async fn tick(
    tenant: &OpenTenant,
    now: Time,
    random: &Random,
    metrics: &Metrics,
) -> Result<usize> {
    let ended_before = now - delta(GRACE);
    let expired = tenant.store.read_expired(ended_before, BATCH_MAX).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    let outcomes: Vec<Outcome> = expired.iter().map(outcome).collect();
    let ends: Vec<Finish> = expired
        .iter()
        .zip(&outcomes)
        .map(|(row, outcome)| {
            Finish::of(outcome, &row.attempts(), (row.id, &row.worker), now, random)
        })
        .collect();
    let ended = tenant.store.finish(&ends, Some(ended_before), now).await?;
    for (row, end) in expired.iter().zip(&ends) {
        let Some(ended) = ended.iter().find(|ended| ended.id == row.id) else { continue };
        metrics.rows_rescued.inc();
        metrics.finished(None, end.ending.status, end.ending.error_kind);
        let message = end.ending.error_message.as_deref().unwrap_or_default();
        warn!(
            tenant = tenant.slug(), job = row.name, execution = %row.id, attempt = row.attempt,
            another_attempt = ended.followed, "rescued: {message}"
        );
    }
    Ok(ended.len())
}

/// A lease is not renewed past the deadline, so that a handler which hangs in a living worker ends
/// here as well: its lease lasted until then. One that ended before was lost, however late that is
/// noticed; what follows from it must not depend on when somebody came by.
fn outcome(row: &Expired) -> Outcome {
    if row.lease_until >= row.deadline_at {
        let limit = (row.deadline_at - row.started_at).to_std().unwrap_or_default();
        Outcome::Timeout { limit }
    } else {
        Outcome::Lost { worker: row.worker.clone() }
    }
}
