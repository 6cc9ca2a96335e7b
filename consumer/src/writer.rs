//! Carries claims and results to the tenants' databases.
//!
//! What waits together for one tenant goes in one statement; what waits alone goes at once. What
//! cannot be written, because the database is away, stays here and is tried again: a result until
//! the guard refuses it, a claim as long as its lease would last, since the claim may have been
//! made without the reply being heard. So a dark tenant keeps a few rows in memory and nobody
//! waiting.

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
use shared::store::{Claim, ClaimTerms, Finished};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, oneshot};

/// The most rows in one statement.
const BATCH_MAX: usize = 100;
/// How long a statement waits for the rows that most probably come now: the broker needs about as
/// long to follow up acknowledgements with deliveries.
const GATHER_LIMIT: Duration = Duration::from_millis(5);
/// How often other tasks are let on until a delivery that was received has become a claim.
const STEPS_TO_CLAIM: usize = 4;

/// All tenants' writers.
pub(crate) struct Writers {
    tenants: Arc<Tenants>,
    terms: ClaimTerms,
    random: Random,
    clock: Clock,
    /// A tenant stands here as long as a task writes for it.
    batches: Mutex<HashMap<TenantId, Batch>>,
    unwritten_ends: AtomicUsize,
    /// Told when a tenant has nothing left to write.
    emptied: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct Batch {
    claims: Vec<ClaimRequest>,
    ends: Vec<EndRequest>,
    /// Told of each row that is added.
    added: Arc<Notify>,
}

impl Batch {
    fn rows(&self) -> usize {
        self.claims.len() + self.ends.len()
    }
}

struct ClaimRequest {
    id: ExecutionId,
    asked_at: BootTime,
    reply: oneshot::Sender<Claimed>,
}

/// What became of a claim.
pub(crate) enum Claimed {
    /// The row is ours since the claim was sent.
    Yours(Box<Claim>, BootTime),
    /// It is somebody else's, over, or not for us.
    Refused,
    /// The database couldn't be asked. The sweeper will send another message.
    Failed,
}

struct EndRequest {
    id: ExecutionId,
    attempts: Attempts,
    job_type: String,
    outcome: Outcome,
    report: Report,
    /// An earlier try may have been carried out, though its answer was not heard.
    unheard: bool,
    reply: oneshot::Sender<FinishReply>,
}

/// What became of a result.
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
            batches: Mutex::default(),
            unwritten_ends: AtomicUsize::new(0),
            emptied: Notify::new(),
            metrics,
        }
    }

    /// Asks for a row. A claim whose answer nobody waits for any more is given back.
    pub(crate) fn claim(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        id: ExecutionId,
    ) -> oneshot::Receiver<Claimed> {
        let (reply, answer) = oneshot::channel();
        let request = ClaimRequest { id, asked_at: self.clock.boot_time(), reply };
        self.submit(tenant, |batch| batch.claims.push(request));
        answer
    }

    /// Hands over a result. It is written whether or not anybody waits for the answer.
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
        self.unwritten_ends.fetch_add(1, Ordering::Relaxed);
        let (id, job_type) = (claim.id, claim.job_type.clone());
        let unheard = false;
        let request = EndRequest { id, attempts, job_type, outcome, report, unheard, reply };
        self.submit(tenant, |batch| batch.ends.push(request));
        answer
    }

    /// How many results are not written yet.
    pub(crate) fn unwritten_ends(&self) -> usize {
        self.unwritten_ends.load(Ordering::Relaxed)
    }

    /// Returns when nothing is left to write.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.batches().is_empty() {
                return;
            }
            emptied.await;
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
                tokio::spawn(self.clone().write_all(tenant.clone()));
            }
        }
    }

    /// Writes for one tenant until nothing is left.
    async fn write_all(self: Arc<Self>, mut tenant: Arc<OpenTenant>) {
        let id = tenant.tenant.id;
        self.take_along(id).await;
        let mut failed = false;
        while let Some(batch) = self.take(id, failed) {
            // Its URL may have been corrected; if it was removed, the last known one must do.
            tenant = self.tenants.get(id).unwrap_or(tenant);
            let rows = batch.rows();
            let left = self.write(&tenant, batch).await;
            failed = left.rows() > 0;
            if failed {
                self.put_back(id, left);
                self.clock.sleep(tenant.health.leave_alone()).await;
            } else {
                self.gather(id, rows).await;
            }
        }
    }

    /// Lets what was received at the same moment catch up; that takes no time to speak of.
    async fn take_along(&self, id: TenantId) {
        let rows = || self.batches().get(&id).map_or(0, Batch::rows);
        let mut before = 0;
        while rows() > before {
            before = rows();
            for _ in 0..STEPS_TO_CLAIM {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for what follows from `answered` rows: claims from results that were acknowledged,
    /// results from claims of jobs that are quick. Together they are one statement and one commit;
    /// apart they would be several, and stay apart. Who comes to an idle writer waits for nothing.
    async fn gather(&self, id: TenantId, answered: usize) {
        let Some((waiting, added)) =
            self.batches().get(&id).map(|batch| (batch.rows(), batch.added.clone()))
        else {
            return;
        };
        let all_there = async {
            while self.batches().get(&id).is_some_and(|batch| batch.rows() < waiting + answered) {
                added.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = all_there => {}
            () = self.clock.sleep(GATHER_LIMIT) => {}
        }
    }

    /// Results if there are any, else claims; what waits of the other kind goes next, with what
    /// follows from these. `both`: after a failure all are tried, so that none grows old unseen. None,
    /// and the tenant is taken off the map, if nothing waits.
    fn take(&self, id: TenantId, both: bool) -> Option<Batch> {
        let mut batches = self.batches();
        let batch = batches.get_mut(&id)?;
        if batch.rows() == 0 {
            batches.remove(&id);
            self.emptied.notify_waiters();
            return None;
        }
        let mut taken = Batch::default();
        if both || batch.ends.is_empty() {
            taken.claims = batch.claims.drain(..batch.claims.len().min(BATCH_MAX)).collect();
        }
        taken.ends = batch.ends.drain(..batch.ends.len().min(BATCH_MAX)).collect();
        Some(taken)
    }

    fn put_back(&self, id: TenantId, left: Batch) {
        let mut batches = self.batches();
        let batch = batches.entry(id).or_default();
        batch.claims.splice(0..0, left.claims);
        batch.ends.splice(0..0, left.ends);
    }

    /// Writes what it can and answers with the rest.
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
        // Ends first: a row that is being given back must not be claimed once more, which the guard
        // would allow this very worker.
        let mut failed = None;
        if !batch.ends.is_empty() {
            (batch.ends, failed) = self.write_ends(tenant, batch.ends, now).await;
        }
        batch.claims = self.without_ending(tenant, batch.claims, &batch.ends);
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
