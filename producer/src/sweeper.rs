//! Publishes another message for dispatched rows that no worker has claimed: the first may have been
//! lost, with its queue or on the way. A duplicate is harmless, since a row is claimed only once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::metrics::Metrics;
use shared::store::{DbTime, PollSummary, Ready, Result, SentBefore};
use shared::tenants::OpenTenant;
use tracing::info;

use crate::capacity::QueueCapacity;
use crate::dispatcher::Remaining;
use crate::messenger::Messenger;

/// A message without a confirm is repeated after this long. One whose repetition the broker refused
/// is repeated at the next poll.
const UNCONFIRMED_AFTER: Duration = Duration::from_secs(5);
/// After how many seconds a confirmed message is repeated, by how many repetitions there have been.
/// The wait grows so that a backlog does not multiply itself.
const UNCLAIMED_AFTER: [i64; 5] = [60, 120, 240, 480, 900];
/// The most rows in one sweep.
const BATCH_MAX: u32 = 200;

/// Which rows a sweep takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepScope {
    /// Rows whose message is overdue.
    Overdue,
    /// Every dispatched row. For a tenant that was suspended until now: consumers have discarded the
    /// messages that they received meanwhile.
    All,
}

/// The services that a sweep uses.
#[derive(Clone, Copy)]
pub struct Sweeper<'a> {
    /// Limits how much is published.
    pub capacity: &'a QueueCapacity,
    /// Publishes the messages.
    pub messenger: &'a Messenger,
    /// Counts what is swept.
    pub metrics: &'a Metrics,
}

/// When rows may have to be swept, by the summary of a poll.
pub fn next_at(summary: &PollSummary) -> Option<Time> {
    let unconfirmed = summary.unconfirmed_since.map(|since| since + delta(UNCONFIRMED_AFTER));
    let unclaimed =
        summary.published_since.map(|since| since + TimeDelta::seconds(UNCLAIMED_AFTER[0]));
    unconfirmed.into_iter().chain(unclaimed).min()
}

impl Sweeper<'_> {
    /// Sweeps one tenant, if there is something in `scope` and as far as the queues have capacity. Returns
    /// what is left to sweep. `now` is the time of its database.
    pub async fn sweep(
        &self,
        tenant: &Arc<OpenTenant>,
        summary: &PollSummary,
        scope: SweepScope,
        now: DbTime,
    ) -> Result<Remaining> {
        let is_due = next_at(summary).is_some_and(|at| at <= now);
        if !is_due && (scope == SweepScope::Overdue || summary.dispatched == 0) {
            return Ok(Remaining::Nothing);
        }
        let before = match scope {
            SweepScope::All => SentBefore { dispatched: now, published: [now; 5] },
            SweepScope::Overdue => SentBefore {
                dispatched: now - delta(UNCONFIRMED_AFTER),
                published: UNCLAIMED_AFTER.map(|seconds| now - TimeDelta::seconds(seconds)),
            },
        };
        let mut reservation = self.capacity.reserve(BATCH_MAX).await;
        if reservation.total() == 0 {
            return Ok(Remaining::QueuesFull);
        }
        let mut rows = tenant.store.read_unclaimed(&before, BATCH_MAX.into()).await?;
        let found = rows.len();
        rows.retain(|row| reservation.try_spend(&row.ready.queue, 1));
        let remaining = match found {
            _ if rows.len() < found => Remaining::QueuesFull,
            _ if found as u32 == BATCH_MAX => Remaining::More,
            _ => Remaining::Nothing,
        };
        if !rows.is_empty() {
            let swept = tenant.store.sweep(&rows, now).await?;
            let ready = rows.into_iter().map(|row| row.ready).filter(|row| swept.contains(&row.id));
            let ready: Vec<Ready> = ready.collect();
            let count = ready.len();
            self.metrics.rows_swept.inc_by(count as u64);
            info!(
                tenant = tenant.slug(),
                count, "sent again for executions that nobody has claimed"
            );
            self.messenger.send(tenant, ready, Some(now)).await;
        }
        Ok(remaining)
    }
}
