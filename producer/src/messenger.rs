//! Publishes messages for dispatched rows, and records the broker's confirms.
//!
//! In the life of a job: `dispatcher.rs` hands rows over, `queue.rs` carries the messages on. The
//! record is for the sweeper only; a claim never waits for it, and may come before it.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, Time};
use shared::failpoint;
use shared::id::ExecutionId;
use shared::message::{Label, Message, Outgoing};
use shared::metrics::Metrics;
use shared::queue::{Confirm, Publisher};
use shared::store::{Ready, chain};
use shared::tenants::OpenTenant;
use shared::trace::{Place, Span, Tracer};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// The most batches that may be on their way to the broker.
const BATCHES_MAX: usize = 16;
/// How long a confirm waits to be recorded: most rows have been claimed by then and need no record.
/// The sweeper takes a row without one for lost after five seconds.
const RECORD_AFTER: Duration = Duration::from_secs(2);

/// What became of the rows of a batch.
struct Sent {
    confirmed: Vec<ExecutionId>,
    missing: Vec<ExecutionId>,
}

/// Publishes beside the looks, so that a tenant's next batch is dispatched meanwhile.
pub struct Messenger {
    publisher: Publisher,
    batches: Arc<Semaphore>,
    tracker: TaskTracker,
    metrics: Metrics,
    tracer: Tracer,
    clock: Clock,
    /// Whether somebody waits for all confirms to be recorded.
    settling: watch::Sender<bool>,
}

impl Messenger {
    /// Publishes by `publisher`.
    pub fn new(publisher: Publisher, metrics: Metrics, tracer: Tracer, clock: Clock) -> Messenger {
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        let (tracker, settling) = (TaskTracker::new(), watch::Sender::new(false));
        Messenger { publisher, batches, tracker, metrics, tracer, clock, settling }
    }

    /// Publishes messages for these rows. Returns once they are handed over; waits while too many
    /// batches are on their way. A row whose message comes to nothing is left to the sweeper, who
    /// says when it took the rows (`swept_at`) if it was the one.
    pub async fn send(&self, tenant: &Arc<OpenTenant>, rows: Vec<Ready>, swept_at: Option<Time>) {
        // The semaphore is never closed, so that its error cannot come.
        let Ok(permit) = self.batches.clone().acquire_owned().await else { return };
        let (publisher, tenant) = (self.publisher.clone(), tenant.clone());
        let (metrics, tracer) = (self.metrics.clone(), self.tracer.clone());
        let clock = self.clock.clone();
        let mut settling = self.settling.subscribe();
        self.tracker.spawn(async move {
            let began = clock.wall_time();
            let traced = if tracer.is_on() { rows.clone() } else { Vec::new() };
            let sent = publish(&publisher, &tenant, rows, &metrics).await;
            tracer.record(|| spans(tenant.slug(), &traced, began, clock.wall_time()));
            drop(permit);
            if let Some(swept_at) = swept_at {
                take_back(&tenant, &sent.missing, swept_at).await;
            }
            tokio::select! {
                biased;
                _ = settling.wait_for(|settling| *settling) => {}
                () = clock.sleep(RECORD_AFTER) => {}
            }
            record(&tenant, &sent.confirmed).await;
        });
    }

    /// Tells the other producers that a tenant's tables have changed.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Returns when all that was handed over has been published and recorded, or `limit` is over.
    pub async fn settled(&self, limit: Duration) {
        self.tracker.close();
        self.settling.send_replace(true);
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await; // the sweeper has the rest
        self.settling.send_replace(false);
        self.tracker.reopen();
    }
}

/// From an execution's time until its message was handed over, and the last part of that.
fn spans(tenant: &str, rows: &[Ready], began: Time, end: Time) -> Vec<Span> {
    let mut spans = Vec::new();
    for row in rows {
        let attributes = vec![
            ("polychron.tenant", tenant.to_owned()),
            ("polychron.job", row.name.clone()),
            ("polychron.job_type", row.job_type.clone()),
            ("polychron.execution", row.id.to_string()),
            ("polychron.attempt", row.attempt.to_string()),
            ("polychron.queue", row.queue.clone()),
        ];
        let start = row.scheduled_for.min(began);
        let whole = Span {
            execution: row.id,
            name: "due",
            place: Place::Root,
            start,
            end,
            attributes,
            error: None,
        };
        let (attributes, place) = (Vec::new(), Place::Sent);
        spans.push(Span { name: "publish", place, start: began, attributes, ..whole.clone() });
        spans.push(whole);
    }
    spans
}

/// Publishes; tells which rows' messages the broker has confirmed.
async fn publish(
    publisher: &Publisher,
    tenant: &OpenTenant,
    rows: Vec<Ready>,
    metrics: &Metrics,
) -> Sent {
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
    Sent { confirmed, missing }
}

/// The sweeper needn't wait for long, as these have not gone out.
async fn take_back(tenant: &OpenTenant, missing: &[ExecutionId], swept_at: Time) {
    if missing.is_empty() {
        return;
    }
    if let Err(error) = tenant.store.take_back_sweep(missing, swept_at).await {
        // They are sent again all the same, later.
        debug!(tenant = tenant.slug(), "a sweep could not be taken back: {}", chain(&error));
    }
}

async fn record(tenant: &OpenTenant, confirmed: &[ExecutionId]) {
    if confirmed.is_empty() {
        return;
    }
    let recorded = async {
        let now = tenant.store.now().await?;
        tenant.store.mark_published(confirmed, now).await
    };
    if let Err(error) = recorded.await {
        // Unrecorded, they are published once more; the claim refuses what comes twice.
        debug!(tenant = tenant.slug(), "confirms could not be recorded: {}", chain(&error));
    }
}

fn outgoing(tenant: &OpenTenant, row: Ready) -> Outgoing {
    let Ready { id, scheduled_for, attempt, name, job_type, queue } = row;
    let message = Message { tenant: tenant.tenant.id, execution: id };
    let label =
        Label { tenant: tenant.slug().to_owned(), job: name, job_type, scheduled_for, attempt };
    Outgoing { message, queue, label }
}
