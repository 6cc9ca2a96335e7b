//! Publishes messages for dispatched rows, and records the broker's confirms.
//!
//! In the life of a job: `dispatcher.rs` hands rows over, `queue.rs` carries the messages on. The
//! record is for the sweeper only; a claim never waits for it, and may come before it.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Time;
use shared::failpoint;
use shared::id::ExecutionId;
use shared::message::{Label, Message, Outgoing};
use shared::metrics::Metrics;
use shared::queue::{Confirm, Publisher};
use shared::store::{Ready, Result, chain};
use shared::tenants::OpenTenant;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// The most batches that may be on their way to the broker.
const BATCHES_MAX: usize = 16;

/// Publishes beside the looks, so that a tenant's next batch is dispatched meanwhile.
pub struct Messenger {
    publisher: Publisher,
    batches: Arc<Semaphore>,
    tracker: TaskTracker,
    metrics: Metrics,
}

impl Messenger {
    /// Publishes by `publisher`.
    pub fn new(publisher: Publisher, metrics: Metrics) -> Messenger {
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        Messenger { publisher, batches, tracker: TaskTracker::new(), metrics }
    }

    /// Publishes messages for these rows. Returns once they are handed over; waits while too many
    /// batches are on their way. A row whose message comes to nothing is left to the sweeper, who
    /// says when it took the rows (`swept_at`) if it was the one.
    pub async fn send(&self, tenant: &Arc<OpenTenant>, rows: Vec<Ready>, swept_at: Option<Time>) {
        // The semaphore is never closed, so that its error cannot come.
        let Ok(permit) = self.batches.clone().acquire_owned().await else { return };
        let (publisher, tenant) = (self.publisher.clone(), tenant.clone());
        let metrics = self.metrics.clone();
        self.tracker.spawn(async move {
            publish(&publisher, &tenant, rows, swept_at, &metrics).await;
            drop(permit);
        });
    }

    /// Tells the other producers that a tenant's tables have changed.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Returns when all that was handed over has been published and recorded, or `limit` is over.
    pub async fn settled(&self, limit: Duration) {
        self.tracker.close();
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await; // the sweeper has the rest
        self.tracker.reopen();
    }
}

async fn publish(
    publisher: &Publisher,
    tenant: &OpenTenant,
    rows: Vec<Ready>,
    swept_at: Option<Time>,
    metrics: &Metrics,
) {
    let ids: Vec<ExecutionId> = rows.iter().map(|row| row.id).collect();
    let messages = rows.into_iter().map(|row| outgoing(tenant, row)).collect();
    let confirms = publisher.publish(messages).await;
    failpoint::reach("after_confirm");
    let (mut confirmed, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
    for (id, confirm) in ids.iter().zip(&confirms) {
        metrics.published(*confirm);
        match confirm {
            Confirm::Confirmed => confirmed.push(*id),
            Confirm::Unroutable | Confirm::Refused | Confirm::Unknown => {
                debug!(tenant = tenant.slug(), execution = %id, "the message came to nothing: {confirm:?}");
                missing.push(*id);
            }
        }
    }
    if !missing.is_empty() {
        let missing = missing.len();
        warn!(tenant = tenant.slug(), missing, "messages were not confirmed; they are sent again");
    }
    if let Err(error) = record(tenant, &confirmed, &missing, swept_at).await {
        // Unrecorded, they are published once more; the claim refuses what comes twice.
        debug!(tenant = tenant.slug(), "confirms could not be recorded: {}", chain(&error));
    }
}

async fn record(
    tenant: &OpenTenant,
    confirmed: &[ExecutionId],
    missing: &[ExecutionId],
    swept_at: Option<Time>,
) -> Result<()> {
    if !confirmed.is_empty() {
        let now = tenant.store.now().await?;
        tenant.store.mark_published(confirmed, now).await?;
    }
    match swept_at {
        Some(swept_at) if !missing.is_empty() => {
            tenant.store.take_back_sweep(missing, swept_at).await
        }
        _ => Ok(()),
    }
}

fn outgoing(tenant: &OpenTenant, row: Ready) -> Outgoing {
    let Ready { id, scheduled_for, attempt, name, job_type, queue } = row;
    let message = Message { tenant: tenant.tenant.id, execution: id };
    let label =
        Label { tenant: tenant.slug().to_owned(), job: name, job_type, scheduled_for, attempt };
    Outgoing { message, queue, label }
}
