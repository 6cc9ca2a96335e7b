//! Writes claims and results to the tenants' databases, in batches.
//!
//! Each tenant with something to write has a task of its own. Rows that wait for one tenant are
//! written by one statement; a single row is written at once. While a database is unreachable its
//! rows stay in memory and are tried again: a result until it is written or the row turns out to
//! be another worker's; a claim for as long as its lease would last, since an earlier try may have
//! succeeded although its reply was lost. Other tenants do not wait.

mod arrivals;
mod claims;
mod finishes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::id::{ExecutionId, TenantId};
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::output::Report;
use shared::random::Random;
use shared::retry::Attempts;
use shared::store::{Claim, ClaimTerms, Finished, StoreError, caught};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, oneshot};

pub(crate) use arrivals::{Arrival, Arrivals};

/// How many rows one statement writes at most.
const BATCH_MAX: usize = 100;
/// How long a statement waits for the rows that follow from the one before. The broker takes about
/// as long to follow up acknowledgements with deliveries.
const GATHER_LIMIT: Duration = Duration::from_millis(5);

/// The writers of all tenants.
pub(crate) struct Writers {
    tenants: Arc<Tenants>,
    terms: ClaimTerms,
    random: Random,
    clock: Clock,
    arrivals: Arrivals,
    /// An entry for each tenant whose writer task is running.
    batches: Mutex<HashMap<TenantId, Batch>>,
    unwritten_results: Arc<AtomicUsize>,
    /// Notified when a writer task ends.
    tenant_flushed: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct Batch {
    claims: Vec<ClaimRequest>,
    finishes: Vec<FinishRequest>,
    /// Notified of each row that is added.
    added: Arc<Notify>,
}

impl Batch {
    fn rows(&self) -> usize {
        self.claims.len() + self.finishes.len()
    }
}

struct ClaimRequest {
    id: ExecutionId,
    requested_at: BootTime,
    reply: oneshot::Sender<Claimed>,
}

/// The reply to a claim.
pub(crate) enum Claimed {
    /// The row is ours, and when the claim was sent.
    Yours(Box<Claim>, BootTime),
    /// The row is another worker's, final, or not in our queues.
    Refused,
    /// The database is unreachable. The sweeper will publish another message.
    Failed,
}

struct FinishRequest {
    id: ExecutionId,
    attempts: Attempts,
    job_type: String,
    outcome: Outcome,
    report: Report,
    /// An earlier try failed without a reply, so it may have been committed.
    maybe_written: bool,
    reply: oneshot::Sender<FinishReply>,
    _unwritten: Unwritten,
}

/// Counts a result until it is written, or given up.
struct Unwritten(Arc<AtomicUsize>);

impl Unwritten {
    fn new(count: &Arc<AtomicUsize>) -> Unwritten {
        count.fetch_add(1, Ordering::Relaxed);
        Unwritten(count.clone())
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The reply to a result.
pub(crate) enum FinishReply {
    /// It was written.
    Recorded(Finished),
    /// The row was no longer ours.
    NotOurs,
}

impl Writers {
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        terms: ClaimTerms,
        random: Random,
        metrics: Metrics,
    ) -> Writers {
        let clock = tenants.clock().clone();
        Writers {
            tenants,
            terms,
            random,
            clock,
            arrivals: Arrivals::default(),
            batches: Mutex::default(),
            unwritten_results: Arc::default(),
            tenant_flushed: Notify::new(),
            metrics,
        }
    }

    /// The deliveries whose claims are about to be submitted.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Claims a row. If the reply is not awaited any more, a successful claim is given back.
    pub(crate) fn claim(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        id: ExecutionId,
    ) -> oneshot::Receiver<Claimed> {
        let (reply, answer) = oneshot::channel();
        let request = ClaimRequest { id, requested_at: self.clock.boot_time(), reply };
        self.submit(tenant, |batch| batch.claims.push(request));
        answer
    }

    /// Writes a result, whether or not the reply is awaited.
    pub(crate) fn finish(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        claim: &Claim,
        outcome: Outcome,
        report: Report,
    ) -> oneshot::Receiver<FinishReply> {
        self.finish_as(tenant, claim, claim.attempts(), outcome, report)
    }

    fn finish_as(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        claim: &Claim,
        attempts: Attempts,
        outcome: Outcome,
        report: Report,
    ) -> oneshot::Receiver<FinishReply> {
        let (reply, answer) = oneshot::channel();
        let request = FinishRequest {
            id: claim.id,
            attempts,
            job_type: claim.job_type.clone(),
            outcome,
            report,
            maybe_written: false,
            reply,
            _unwritten: Unwritten::new(&self.unwritten_results),
        };
        self.submit(tenant, |batch| batch.finishes.push(request));
        answer
    }

    /// How many results are not written yet.
    pub(crate) fn unwritten_results(&self) -> usize {
        self.unwritten_results.load(Ordering::Relaxed)
    }

    /// Returns once everything is written.
    pub(crate) async fn flushed(&self) {
        loop {
            let tenant_flushed = self.tenant_flushed.notified();
            if self.batches().is_empty() {
                return;
            }
            tenant_flushed.await;
        }
    }

    fn submit(self: &Arc<Self>, tenant: &Arc<OpenTenant>, add: impl FnOnce(&mut Batch)) {
        let mut batches = self.batches();
        match batches.get_mut(&tenant.tenant.id) {
            Some(batch) => {
                add(batch);
                batch.added.notify_one();
            }
            None => {
                let mut batch = Batch::default();
                add(&mut batch);
                batches.insert(tenant.tenant.id, batch);
                drop(batches);
                let (writers, tenant) = (self.clone(), tenant.clone());
                tokio::spawn(async move {
                    let writing = writers.clone().write_all(tenant.clone());
                    Box::pin(writers.survive(&tenant, writing)).await;
                });
            }
        }
    }

    /// A panic over one tenant's rows is a failure of that tenant. What waits for it is dropped: its
    /// claims are published again, its results end with their leases.
    async fn survive(&self, tenant: &OpenTenant, writing: impl Future<Output = ()>) {
        let writing = async {
            writing.await;
            Ok::<(), StoreError>(())
        };
        if let Err(error) = caught(writing).await {
            let dropped = self.batches().remove(&tenant.tenant.id);
            drop(dropped); // not while the batches are locked
            self.tenant_flushed.notify_waiters();
            tenant.health.failed(tenant.slug(), &error);
        }
    }

    /// Writes for one tenant until it has nothing left.
    async fn write_all(self: Arc<Self>, mut tenant: Arc<OpenTenant>) {
        let id = tenant.tenant.id;
        self.arrivals.all_submitted().await;
        let mut failed = false;
        while let Some(batch) = self.take(id, failed) {
            // Its URL may have been corrected. If the tenant was removed, use the last known one.
            tenant = self.tenants.get(id).unwrap_or(tenant);
            let rows = batch.rows();
            let left = self.write(&tenant, batch).await;
            failed = left.rows() > 0;
            if failed {
                self.put_back(id, left);
                self.clock.sleep(tenant.health.breaker_open_for()).await;
            } else {
                self.gather(id, rows).await;
            }
        }
    }

    /// Waits for the rows that follow from `answered` ones: new claims once results are acknowledged,
    /// results once quick jobs are claimed. Written together they cost one commit; written apart they
    /// would stay apart from then on. Rows for an idle writer do not wait.
    async fn gather(&self, id: TenantId, answered: usize) {
        let Some((waiting, added)) =
            self.batches().get(&id).map(|batch| (batch.rows(), batch.added.clone()))
        else {
            return;
        };
        let all_added = async {
            while self.batches().get(&id).is_some_and(|batch| batch.rows() < waiting + answered) {
                added.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = all_added => {}
            () = self.clock.sleep(GATHER_LIMIT) => {}
        }
    }

    /// Takes the next rows to write: results if there are any, else claims. The other kind goes next,
    /// together with the rows that follow from these. After a failure both kinds are taken, since
    /// either may be the one that works. If nothing is left, removes the tenant and returns `None`.
    fn take(&self, id: TenantId, after_failure: bool) -> Option<Batch> {
        let mut batches = self.batches();
        let batch = batches.get_mut(&id)?;
        if batch.rows() == 0 {
            batches.remove(&id);
            self.tenant_flushed.notify_waiters();
            return None;
        }
        let mut taken = Batch::default();
        if after_failure || batch.finishes.is_empty() {
            taken.claims = batch.claims.drain(..batch.claims.len().min(BATCH_MAX)).collect();
        }
        taken.finishes = batch.finishes.drain(..batch.finishes.len().min(BATCH_MAX)).collect();
        Some(taken)
    }

    fn put_back(&self, id: TenantId, left: Batch) {
        let mut batches = self.batches();
        let batch = batches.entry(id).or_default();
        batch.claims.splice(0..0, left.claims);
        batch.finishes.splice(0..0, left.finishes);
    }

    /// Writes a batch and returns the rows that are to be tried again.
    async fn write(self: &Arc<Self>, tenant: &Arc<OpenTenant>, mut batch: Batch) -> Batch {
        let before = self.clock.boot_time();
        let now = match tenant.store.now().await {
            Ok(now) => now,
            Err(error) => {
                tenant.health.failed(tenant.slug(), &error);
                batch.claims = self.still_worth_trying(batch.claims, &error);
                return batch;
            }
        };
        // Results first: a row that this worker is giving back must not be claimed again, and the
        // statement would let the same worker claim it.
        let mut failed = None;
        if !batch.finishes.is_empty() {
            (batch.finishes, failed) = self.write_finishes(tenant, batch.finishes, now).await;
        }
        batch.claims = self.refuse_unfinished(tenant, batch.claims, &batch.finishes);
        if !batch.claims.is_empty() {
            let error;
            (batch.claims, error) = self.write_claims(tenant, batch.claims, now).await;
            failed = failed.or(error);
        }
        match failed {
            Some(error) => tenant.health.failed(tenant.slug(), &error),
            None => {
                let latency = self.clock.boot_time() - before;
                tenant.health.succeeded(tenant.slug(), latency);
            }
        }
        batch
    }

    fn batches(&self) -> MutexGuard<'_, HashMap<TenantId, Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
