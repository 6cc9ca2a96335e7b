//! One attempt, from the claimed row to the written result.

use std::sync::Arc;

use shared::clock::BootTime;
use shared::execution::ErrorKind;
use shared::failpoint;
use shared::outcome::Outcome;
use shared::output::Report;
use shared::queue::Delivery;
use shared::store::Claim;
use shared::tenants::OpenTenant;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{debug, warn};

use super::in_flight::InFlightGuard;
use super::instrumentation::Timing;
use super::runner::{Executed, time_limit};
use super::{PATIENCE, Worker};
use crate::executor::Lingering;
use crate::handler_process::{Reserved, TypeChanged};
use crate::writer::FinishReply;

/// How many results may wait to be written. While there are more, slots wait for theirs, which
/// bounds the memory that an unreachable database costs.
const UNWRITTEN_RESULTS_MAX: usize = 256;

/// A claimed row and everything that it occupies. [`Attempt::run`] consumes it.
pub(super) struct Attempt {
    pub(super) worker: Arc<Worker>,
    pub(super) tenant: Arc<OpenTenant>,
    pub(super) claim: Claim,
    /// When the claim was sent. Lease and deadline count from here.
    pub(super) claimed_at: BootTime,
    pub(super) held: Held,
}

/// What a claimed row occupies.
pub(super) struct Held {
    /// `None` if it was acknowledged already.
    pub(super) delivery: Option<Delivery>,
    pub(super) slot: OwnedSemaphorePermit,
    pub(super) in_flight: InFlightGuard,
    /// Places in handler processes.
    pub(super) reserved: Reserved,
}

impl Attempt {
    /// Runs the handler and writes its result. The delivery is acknowledged and the slot is free
    /// once the row is final and the handler has returned.
    pub(super) async fn run(self) {
        if self.has_expired() {
            return self.give_back();
        }
        let Attempt { worker, tenant, claim, claimed_at, held } = self;
        let Held { delivery, slot, in_flight, reserved } = held;
        let in_process = match worker.runner.handlers.handler(&claim.job_type, reserved) {
            Ok(in_process) => in_process,
            Err(TypeChanged) => {
                worker.writers.give_back(&tenant, &claim);
                return delivery.into_iter().for_each(Delivery::ack);
            }
        };
        let hold = worker.leases.hold(tenant.tenant.id, claim.id, claimed_at);
        failpoint::reach("after_claim");
        let started_at = worker.clock.boot_time();
        worker.note_lateness(&claim, started_at - claimed_at);
        let Executed { outcome, output, lingering, database } =
            worker.runner.run(&tenant, &claim, claimed_at, hold.signals(), in_process).await;
        failpoint::reach("after_effect");
        worker.log(&tenant, &claim, &outcome, started_at);

        let error = outcome.ending().error_kind.map(ErrorKind::as_str);
        let timing = Timing { claimed_at, started_at, ended_at: worker.clock.boot_time() };
        let mut result = Writing::start(&worker, &tenant, &claim, outcome, output.final_report());
        result.wait_while_it_is_quick(&worker).await;
        if let Some(lingering) = lingering {
            worker.wait_for(lingering, &tenant, &claim).await;
        }
        database.close().await;
        failpoint::reach("after_result");
        if let Some(delivery) = delivery {
            delivery.ack();
        }
        drop(slot);
        let reply = result.reply().await;
        drop((hold, in_flight));
        let is_written = matches!(reply, Some(FinishReply::Recorded(_)));
        worker.tracer.record(|| worker.spans(&tenant, &claim, timing, error, is_written));
        worker.conclude(&tenant, &claim, reply).await;
    }

    /// Whether the lease or the deadline passed while the claim was under way, which happens if this
    /// process was suspended. Another worker may have the row by now.
    fn has_expired(&self) -> bool {
        let age = self.worker.clock.boot_time() - self.claimed_at;
        age >= self.worker.leases.lease().min(time_limit(&self.claim))
    }

    fn give_back(self) {
        self.worker.writers.give_back(&self.tenant, &self.claim);
        if let Some(delivery) = self.held.delivery {
            delivery.ack();
        }
    }
}

/// A result on its way to the database.
struct Writing {
    pending: oneshot::Receiver<FinishReply>,
    /// The reply, if it came already; `Some(None)` if the process is going down.
    reply: Option<Option<FinishReply>>,
}

impl Writing {
    fn start(
        worker: &Arc<Worker>,
        tenant: &Arc<OpenTenant>,
        claim: &Claim,
        outcome: Outcome,
        report: Report,
    ) -> Writing {
        let pending = worker.writers.finish(tenant, claim, outcome, report);
        Writing { pending, reply: None }
    }

    /// Waits for the reply, but only for a moment unless too many results are unwritten.
    async fn wait_while_it_is_quick(&mut self, worker: &Worker) {
        tokio::select! {
            biased;
            reply = &mut self.pending => self.reply = Some(reply.ok()),
            () = worker.clock.sleep(PATIENCE),
                if worker.writers.unwritten_results() < UNWRITTEN_RESULTS_MAX => {}
        }
    }

    /// The reply, however long it takes. `None` if the process is going down.
    async fn reply(self) -> Option<FinishReply> {
        match self.reply {
            Some(reply) => reply,
            None => self.pending.await.ok(),
        }
    }
}

impl Worker {
    async fn wait_for(&self, lingering: Lingering, tenant: &OpenTenant, claim: &Claim) {
        if !lingering.is_finished() {
            debug!(
                tenant = tenant.slug(), job = claim.name, execution = %claim.id,
                "the row is final, but its handler still runs and keeps its slot"
            );
        }
        self.metrics.handlers_stuck.inc();
        let _ = lingering.await; // it never fails, and never panics
        self.metrics.handlers_stuck.dec();
    }

    /// Wakes the producers if the result may make other rows due, and logs a lost row.
    async fn conclude(&self, tenant: &OpenTenant, claim: &Claim, reply: Option<FinishReply>) {
        match reply {
            Some(FinishReply::Recorded(finished)) => {
                let is_limited = tenant.tenant.max_running.is_some();
                if finished.has_next_attempt || finished.needs_poll || is_limited {
                    self.publisher.wake(tenant.tenant.id).await;
                }
            }
            Some(FinishReply::NotOurs) => warn!(
                tenant = tenant.slug(), job = claim.name, execution = %claim.id, attempt = claim.attempt,
                "the outcome was not written: the row is no longer this worker's"
            ),
            None => {}
        }
    }
}
