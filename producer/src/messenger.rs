//! Publishes the messages of dispatched rows, and records the broker's confirms.
//!
//! In the life of a job, `dispatcher.rs` comes before this file and `queue.rs` after it. Only the sweeper
//! reads the recorded confirms. A claim does not wait for them, and may come first.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, Time};
use shared::failpoint;
use shared::id::ExecutionId;
use shared::message::{Label, Message, Outgoing};
use shared::metrics::Metrics;
use shared::queue::{Confirm, Publisher};
use shared::store::{DbTime, Ready, chain};
use shared::tenants::OpenTenant;
use shared::trace::{Span, SpanKind, Tracer};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// The most batches that may be in flight to the broker.
const BATCHES_MAX: usize = 16;
/// Confirms are recorded after this long: most rows have been claimed by then and need no record. The
/// sweeper takes the message of a row without a recorded confirm for lost after five seconds.
const RECORD_AFTER: Duration = Duration::from_secs(2);

/// The rows of a batch, by whether the broker confirmed their message.
struct Published {
    confirmed: Vec<ExecutionId>,
    unconfirmed: Vec<ExecutionId>,
}

/// Publishes in tasks of its own, so that a tenant's next batch can be dispatched meanwhile.
pub struct Messenger {
    publisher: Publisher,
    batches: Arc<Semaphore>,
    tracker: TaskTracker,
    metrics: Metrics,
    tracer: Tracer,
    clock: Clock,
    /// Whether a flush waits for all confirms to be recorded.
    flushing: watch::Sender<bool>,
}

impl Messenger {
    /// Publishes through `publisher`.
    pub fn new(publisher: Publisher, metrics: Metrics, tracer: Tracer, clock: Clock) -> Messenger {
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        let (tracker, flushing) = (TaskTracker::new(), watch::Sender::new(false));
        Messenger { publisher, batches, tracker, metrics, tracer, clock, flushing }
    }

    /// Publishes messages for these rows in the background; waits while too many batches are in flight.
    /// A row whose message is not confirmed is left to the sweeper. `swept_at` is the time of the sweep
    /// that the rows come from, if they come from one.
    pub async fn send(&self, tenant: &Arc<OpenTenant>, rows: Vec<Ready>, swept_at: Option<DbTime>) {
        // The semaphore is never closed, so this does not fail.
        let Ok(permit) = self.batches.clone().acquire_owned().await else { return };
        let (publisher, tenant) = (self.publisher.clone(), tenant.clone());
        let (metrics, tracer) = (self.metrics.clone(), self.tracer.clone());
        let clock = self.clock.clone();
        let mut flushing = self.flushing.subscribe();
        self.tracker.spawn(async move {
            let began = clock.wall_time();
            let traced = if tracer.is_on() { rows.clone() } else { Vec::new() };
            let published = publish(&publisher, &tenant, rows, &metrics).await;
            tracer.record(|| spans(tenant.slug(), &traced, began, clock.wall_time()));
            drop(permit);
            if let Some(swept_at) = swept_at {
                take_back(&tenant, &published.unconfirmed, swept_at).await;
            }
            tokio::select! {
                biased;
                _ = flushing.wait_for(|flushing| *flushing) => {}
                () = clock.sleep(RECORD_AFTER) => {}
            }
            record(&tenant, &published.confirmed).await;
        });
    }

    /// Returns when all messages have been published and recorded, or after `limit`.
    pub async fn flush(&self, limit: Duration) {
        self.tracker.close();
        self.flushing.send_replace(true);
        // What is not flushed in time is left to the sweeper.
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.flushing.send_replace(false);
        self.tracker.reopen();
    }
}

/// Two spans for each row: from its planned time until its message was published, and the publishing.
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
            kind: SpanKind::Root,
            start,
            end,
            attributes,
            error: None,
        };
        let (attributes, kind) = (Vec::new(), SpanKind::Producer);
        spans.push(Span { name: "publish", kind, start: began, attributes, ..whole.clone() });
        spans.push(whole);
    }
    spans
}

/// Publishes, and returns which rows' messages the broker has confirmed.
async fn publish(
    publisher: &Publisher,
    tenant: &OpenTenant,
    rows: Vec<Ready>,
    metrics: &Metrics,
) -> Published {
    let ids: Vec<ExecutionId> = rows.iter().map(|row| row.id).collect();
    let messages = rows.into_iter().map(|row| outgoing(tenant, row)).collect();
    let confirms = publisher.publish(messages).await;
    failpoint::reach("after_confirm");
    let (mut confirmed, mut unconfirmed) = (Vec::with_capacity(ids.len()), Vec::new());
    for (id, confirm) in ids.iter().zip(&confirms) {
        metrics.published(*confirm);
        match confirm {
            Confirm::Confirmed => confirmed.push(*id),
            Confirm::Unroutable | Confirm::Refused | Confirm::Unknown => {
                debug!(tenant = tenant.slug(), execution = %id, "the message was not confirmed: {confirm:?}");
                unconfirmed.push(*id);
            }
        }
    }
    if !unconfirmed.is_empty() {
        let missing = unconfirmed.len();
        warn!(tenant = tenant.slug(), missing, "messages were not confirmed; they are sent again");
    }
    Published { confirmed, unconfirmed }
}

/// Undoes the sweep of rows whose message was not published, so that the next sweep need not wait.
async fn take_back(tenant: &OpenTenant, unconfirmed: &[ExecutionId], swept_at: DbTime) {
    if unconfirmed.is_empty() {
        return;
    }
    if let Err(error) = tenant.store.take_back_sweep(unconfirmed, swept_at).await {
        // They are published again all the same, later.
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
        // Without a record they are published once more. The duplicates' claims are refused.
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
