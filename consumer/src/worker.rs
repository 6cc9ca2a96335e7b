//! From a delivery to an acknowledgement: claim, run, write the result.
//!
//! In the life of a job: `queue.rs` delivers the message, `executor.rs` runs the handler between
//! claim and result, `store.rs` has both as statements.
//!
//! Whatever else comes of a delivery, it is acknowledged: what could not be done now stays in the
//! tenant's table, and the sweeper sends another message. So nothing can go round in circles.

mod telling;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::execution::ErrorKind;
use shared::failpoint;
use shared::message::{Message, MessageError};
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::output::Output;
use shared::queue::{Delivery, Publisher};
use shared::secrets::{Resolved, Secrets};
use shared::store::{Claim, TenantDatabase, chain};
use shared::tenants::{OpenTenant, Tenants};
use shared::trace::Tracer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::context::Context;
use crate::executor::{Executor, Lingering, Stops};
use crate::handler::{HandlerError, Registry};
use crate::heartbeat::Leases;
use crate::reporter::Reporter;
use crate::writer::{Claimed, FinishReply, Writers};

/// How long a slot waits for a tenant's database. After that the message is acknowledged and the
/// slot serves others, while the claim or the result goes on by itself.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most claims that may go on without a slot, and results without being written; beyond it,
/// claims are left to the sweeper and slots wait.
const ASIDE_MAX: usize = 256;
/// How often an unreadable message is tried to be put aside.
const BURY_EVERY: Duration = Duration::from_secs(5);
/// An unknown tenant may have been added just now, a suspended one resumed: then the list is read
/// again, but not more often than this.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// What one process needs to serve deliveries.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) publisher: Publisher,
    pub(crate) registry: Registry,
    pub(crate) executor: Executor,
    pub(crate) writers: Arc<Writers>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) secrets: Secrets,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    pub(crate) aside: Arc<Semaphore>,
    pub(crate) release: CancellationToken,
    pub(crate) clock: Clock,
    /// What this process has in hand, from the claim until the result is written: a second
    /// message for it is no reason to start it again.
    pub(crate) in_hand: Mutex<HashSet<Message>>,
    /// When the list of tenants was last read for an unknown one.
    pub(crate) refreshed: tokio::sync::Mutex<BootTime>,
}

/// What one attempt left.
struct Ran {
    outcome: Outcome,
    output: Output,
    lingering: Option<Lingering>,
    /// To be closed when the handler is gone.
    database: Arc<TenantDatabase>,
}

/// Lets other claims go on beside the slots.
pub(crate) fn aside() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ASIDE_MAX))
}

/// Takes the message out of [`Worker::in_hand`] again.
struct InHand {
    worker: Arc<Worker>,
    message: Message,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.worker.in_hand().remove(&self.message);
    }
}

impl Worker {
    /// Serves one delivery with one slot.
    pub(crate) async fn serve(self: Arc<Self>, delivery: Delivery, slot: OwnedSemaphorePermit) {
        let message = match Message::decode(&delivery.body) {
            Ok(message) => message,
            Err(error) => return self.bury(delivery, error).await,
        };
        if !self.in_hand().insert(message) {
            return delivery.ack();
        }
        failpoint::reach("before_claim");
        let in_hand = InHand { worker: self.clone(), message };
        let Some(tenant) = self.tenant(message).await else { return delivery.ack() };
        let mut claimed = self.writers.claim(&tenant, message.execution);
        // A database that is being left alone will not answer at once.
        let ails = !tenant.health.leave_alone().is_zero();
        let patience = if ails { Duration::ZERO } else { PATIENCE };
        tokio::select! {
            biased;
            answer = &mut claimed => match answer {
                Ok(Claimed::Yours(claim, claimed_at)) => {
                    self.run(tenant, *claim, claimed_at, Some(delivery), slot, in_hand).await;
                }
                Ok(Claimed::Refused) => {
                    debug!(tenant = tenant.slug(), execution = %message.execution, "the claim was refused");
                    delivery.ack();
                }
                Ok(Claimed::Failed) | Err(_) => delivery.ack(),
            },
            () = self.clock.sleep(patience) => {
                delivery.ack();
                drop(slot);
                // The row stays dispatched if there is no room for another claim aside.
                let Ok(_aside) = self.aside.clone().try_acquire_owned() else { return };
                tokio::select! {
                    biased;
                    answer = claimed => if let Ok(Claimed::Yours(claim, claimed_at)) = answer {
                        self.run_late(tenant, *claim, claimed_at, in_hand).await;
                    },
                    // A claim that nobody waits for any more is given back when it comes through.
                    () = self.release.cancelled() => {}
                }
            }
        }
    }

    /// A claim came through after its slot was given to others: it waits for the next free one, as
    /// long as its lease surely holds; its time to run counts from the claim.
    async fn run_late(
        self: &Arc<Self>,
        tenant: Arc<OpenTenant>,
        claim: Claim,
        claimed_at: BootTime,
        in_hand: InHand,
    ) {
        let slot = tokio::select! {
            biased;
            slot = self.slots.clone().acquire_owned() => slot.ok(),
            () = self.clock.sleep(self.leases.interval()) => None,
        };
        match slot {
            Some(slot) => self.run(tenant, claim, claimed_at, None, slot, in_hand).await,
            None => self.writers.give_back(&tenant, &claim),
        }
    }

    /// The tenant, if it is known and active. A producer dispatches for such only, so that of a
    /// tenant which isn't our list may be too old.
    async fn tenant(&self, message: Message) -> Option<Arc<OpenTenant>> {
        let active = |tenant: &Arc<OpenTenant>| tenant.is_active();
        if let Some(tenant) = self.tenants.get(message.tenant).filter(active) {
            return Some(tenant);
        }
        self.refresh().await;
        let known = self.tenants.get(message.tenant);
        if known.is_none() {
            warn!(tenant = %message.tenant, execution = %message.execution, "a message names an unknown tenant");
        }
        known.filter(active)
    }

    async fn refresh(&self) {
        let mut refreshed = self.refreshed.lock().await;
        let now = self.clock.boot_time();
        if now - *refreshed >= REFRESH_AFTER {
            *refreshed = now;
            if let Err(error) = self.tenants.refresh().await {
                warn!("the list of tenants could not be read: {}", chain(&error));
            }
        }
    }

    /// Runs a claimed row to its end and writes that. The delivery, if there still is one, is
    /// acknowledged and the slot given back once the row is final and its handler has returned.
    async fn run(
        self: &Arc<Self>,
        tenant: Arc<OpenTenant>,
        claim: Claim,
        claimed_at: BootTime,
        delivery: Option<Delivery>,
        slot: OwnedSemaphorePermit,
        in_hand: InHand,
    ) {
        // The claim may have come through so late, if this process stood still, that its row has been
        // taken back: nothing may start then.
        let limit = (claim.deadline_at - claim.started_at).to_std().unwrap_or_default();
        if self.clock.boot_time() - claimed_at >= self.leases.lease().min(limit) {
            self.writers.give_back(&tenant, &claim);
            if let Some(delivery) = delivery {
                delivery.ack();
            }
            return;
        }
        let (lost, cancel) = (CancellationToken::new(), CancellationToken::new());
        let (id, name) = (tenant.tenant.id, claim.name.clone());
        let hold = self.leases.hold(id, claim.id, claimed_at, lost.clone(), cancel.clone());
        failpoint::reach("after_claim");
        let started = self.clock.boot_time();
        self.note_lateness(&claim, started - claimed_at);
        let Ran { outcome, output, lingering, database } =
            self.execute(&tenant, &claim, claimed_at, lost, cancel).await;
        failpoint::reach("after_effect");
        self.log(&tenant, &claim, &outcome, started);

        let error = outcome.ending().error_kind.map(ErrorKind::as_str);
        let ended = self.clock.boot_time();
        let mut finished = self.writers.finish(&tenant, &claim, outcome, output.report(true));
        let answer = tokio::select! {
            biased;
            answer = &mut finished => Some(answer),
            // While too many results wait to be written, slots wait, too.
            () = self.clock.sleep(PATIENCE), if self.writers.unwritten_ends() < ASIDE_MAX => None,
        };
        if let Some(lingering) = lingering {
            if !lingering.is_finished() {
                debug!(tenant = tenant.slug(), job = name, execution = %claim.id, "the row is final, its handler goes on and keeps its slot");
            }
            self.metrics.handlers_stuck.inc();
            let _ = lingering.await; // it never fails, and never panics
            self.metrics.handlers_stuck.dec();
        }
        database.close().await;
        failpoint::reach("after_result");
        if let Some(delivery) = delivery {
            delivery.ack();
        }
        drop(slot);
        let answer = match answer {
            Some(answer) => answer,
            None => finished.await,
        };
        drop((hold, in_hand));
        let written = matches!(answer, Ok(FinishReply::Recorded(_)));
        self.tracer
            .record(|| self.spans(&tenant, &claim, [claimed_at, started, ended], error, written));
        match answer {
            Ok(FinishReply::Recorded(ended)) => {
                let limited = tenant.tenant.max_running.is_some();
                if ended.followed || ended.freed || limited {
                    self.publisher.wake(id).await;
                }
            }
            Ok(FinishReply::NotOurs) => warn!(
                tenant = tenant.slug(), job = name, execution = %claim.id, attempt = claim.attempt,
                "the outcome was not written: the row is no longer this worker's"
            ),
            Err(_) => {} // the process ends
        }
    }

    async fn execute(
        &self,
        tenant: &OpenTenant,
        claim: &Claim,
        claimed_at: BootTime,
        lease_lost: CancellationToken,
        cancel: CancellationToken,
    ) -> Ran {
        let limit = (claim.deadline_at - claim.started_at).to_std().unwrap_or_default();
        let spent = self.clock.boot_time() - claimed_at;
        let stops = Stops {
            time_left: limit.saturating_sub(spent),
            limit,
            cancel,
            lease_lost,
            release: self.release.clone(),
            worker: self.name.clone(),
        };
        let cancelled = CancellationToken::new();
        let (url, clock) = (&tenant.tenant.database_url, self.clock.clone());
        let deadline = claimed_at + limit;
        let database = TenantDatabase::new(url, claim.id, clock, deadline, cancelled.clone());
        let database = Arc::new(database);
        let early = |outcome| Ran {
            outcome,
            output: Output::default(),
            lingering: None,
            database: database.clone(),
        };
        let Some(handler) = self.registry.get(&claim.job_type) else {
            let job_type = claim.job_type.clone();
            return early(Outcome::UnknownType { job_type, known: self.registry.job_types() });
        };
        let Resolved { payload, redactor } =
            match self.secrets.resolve(tenant.slug(), &claim.payload) {
                Ok(resolved) => resolved,
                Err(why) => return early(HandlerError::new(why).into()),
            };
        let output = Output::new(redactor.clone());
        let context = Context {
            tenant: tenant.tenant.id,
            tenant_slug: tenant.tenant.slug.clone(),
            job: claim.job_id,
            job_name: claim.name.clone(),
            execution: claim.id,
            attempt: claim.attempt,
            scheduled_for: claim.scheduled_for,
            deadline_at: claim.deadline_at,
            cancelled,
            database: database.clone(),
            output: output.clone(),
            redactor: redactor.clone(),
            busy: TaskTracker::new(),
        };
        let _watch = self.reporter.watch(tenant.tenant.id, claim.id, output.clone());
        let (outcome, lingering) = self.executor.execute(handler, payload, context, stops).await;
        Ran { outcome: outcome.redacted(&redactor), output, lingering, database }
    }

    /// Puts a message that nobody can read where people can look at it.
    async fn bury(&self, delivery: Delivery, error: MessageError) {
        warn!("a message was put into polychron.dead: {error}");
        let reason = error.to_string();
        while !self.publisher.bury(delivery.body.clone(), &reason).await {
            tokio::select! {
                biased;
                () = self.clock.sleep(BURY_EVERY) => {}
                // Unacknowledged, it comes again, to whoever runs then.
                () = self.release.cancelled() => return,
            }
        }
        self.metrics.messages_buried.inc();
        delivery.ack();
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<Message>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
