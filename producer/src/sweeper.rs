//! Sends another message for dispatched rows that nobody has claimed: the first may be lost, with
//! its queue or on its way. A doubled message is harmless, since the claim takes a row once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::metrics::Metrics;
use shared::store::{PollSummary, Ready, Result, SentBefore};
use shared::tenants::OpenTenant;
use tracing::info;

use crate::backlog::Backlog;
use crate::dispatcher::Left;
use crate::messenger::Messenger;

/// A dispatch without a confirm is published again after this long. So is what was swept and then
/// refused, at the next look.
const UNCONFIRMED_AFTER: Duration = Duration::from_secs(5);
/// A message that was confirmed is followed by another after this many seconds, by how many there
/// were; a backlog must not multiply itself.
const UNHEARD_AFTER: [i64; 5] = [60, 120, 240, 480, 900];
/// The most rows in one sweep.
const BATCH_MAX: u32 = 200;

/// When something may have to be swept, by what a look has found.
pub fn next_at(look: &PollSummary) -> Option<Time> {
    let unconfirmed = look.unconfirmed_since.map(|since| since + delta(UNCONFIRMED_AFTER));
    let unheard = look.published_since.map(|since| since + TimeDelta::seconds(UNHEARD_AFTER[0]));
    unconfirmed.into_iter().chain(unheard).min()
}

/// Sweeps one tenant, as far as the queues have room.
/// `all` takes every dispatched row for unheard: its tenant was suspended until now, and what
/// consumers were told meanwhile they have put aside.
pub async fn tick(
    tenant: &Arc<OpenTenant>,
    backlog: &Backlog,
    messenger: &Messenger,
    metrics: &Metrics,
    now: Time,
    all: bool,
) -> Result<Left> {
    let before = match all {
        true => SentBefore { dispatched: now, published: [now; 5] },
        false => SentBefore {
            dispatched: now - delta(UNCONFIRMED_AFTER),
            published: UNHEARD_AFTER.map(|seconds| now - TimeDelta::seconds(seconds)),
        },
    };
    let mut room = backlog.take(BATCH_MAX).await;
    if room.total() == 0 {
        return Ok(Left::Blocked);
    }
    let mut rows = tenant.store.read_unheard(&before, BATCH_MAX.into()).await?;
    let found = rows.len();
    rows.retain(|row| room.spend(&row.ready.queue, 1));
    let left = match found {
        _ if rows.len() < found => Left::Blocked,
        _ if found as u32 == BATCH_MAX => Left::More,
        _ => Left::Nothing,
    };
    if !rows.is_empty() {
        let swept = tenant.store.sweep(&rows, now).await?;
        let ready = rows.into_iter().map(|row| row.ready).filter(|row| swept.contains(&row.id));
        let ready: Vec<Ready> = ready.collect();
        let count = ready.len();
        metrics.rows_swept.inc_by(count as u64);
        info!(tenant = tenant.slug(), count, "sent again for executions that nobody has claimed");
        messenger.send(tenant, ready, Some(now)).await;
    }
    Ok(left)
}
