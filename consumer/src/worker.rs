//! From a delivery to its acknowledgement: claim the row, run its handler, write the result.
//!
//! In the life of a job: `queue.rs` delivers the message; `attempt.rs` goes from the claim to the
//! result, and `executor.rs` runs the handler in between; `store.rs` has both statements.
//!
//! Every delivery is acknowledged, whatever happened. Work that could not be done now stays in the
//! tenant's table, and the sweeper publishes another message, so no message is requeued forever.

mod attempt;
mod detached;
mod in_flight;
mod instrumentation;
mod runner;
mod tenant_lookup;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::failpoint;
use shared::message::{Message, MessageError};
use shared::metrics::Metrics;
use shared::queue::{Confirm, Delivery, Publisher};
use shared::store::Claim;
use shared::tenants::OpenTenant;
use shared::trace::Tracer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::handler_process::{Handlers, Reserved};
use crate::heartbeat::Leases;
use crate::writer::{Arrival, Claimed, Writers};
use attempt::{Attempt, Held};
pub(crate) use detached::Detached;
pub(crate) use in_flight::InFlight;
use in_flight::InFlightGuard;
pub(crate) use runner::Runner;
pub(crate) use tenant_lookup::TenantLookup;
use waiting::Waiting;

/// How long a slot waits for a tenant's database. Then the slot serves other deliveries, and the
/// claim or the result continues without it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait before trying again to bury an unreadable message.
const BURY_EVERY: Duration = Duration::from_secs(5);

/// Serves deliveries. One per process.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) tenants: TenantLookup,
    pub(crate) publisher: Publisher,
    pub(crate) runner: Runner,
    pub(crate) writers: Arc<Writers>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) slots: Arc<Semaphore>,
    /// Permits for claims that continue without a slot.
    pub(crate) detached: Detached,
    /// Permits for deliveries that wait for a handler process without a slot.
    pub(crate) waiting: Detached,
    pub(crate) handlers: Handlers,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// Cancelled when the process gives back what still runs.
    pub(crate) release: CancellationToken,
    /// Cancelled when the process takes no more work.
    pub(crate) drain: CancellationToken,
    pub(crate) clock: Clock,
}

/// A delivery with the slot that it is served with.
pub(crate) struct Received {
    pub(crate) delivery: Delivery,
    pub(crate) slot: OwnedSemaphorePermit,
    /// Until the claim is submitted, or there is none.
    pub(crate) arrival: Arrival,
}

/// A delivery whose row may be claimed: a place for its handler is reserved, if it needs one.
struct Claimable {
    tenant: Arc<OpenTenant>,
    message: Message,
    /// `None` if it was acknowledged already.
    delivery: Option<Delivery>,
    slot: OwnedSemaphorePermit,
    in_flight: InFlightGuard,
    reserved: Reserved,
}

impl Worker {
    /// Serves one delivery.
    pub(crate) async fn serve(self: Arc<Self>, received: Received) {
        let Received { delivery, slot, arrival } = received;
        let message = match Message::decode(&delivery.body) {
            Ok(message) => message,
            Err(error) => {
                drop(arrival);
                return self.bury(delivery, error).await;
            }
        };
        let Some(in_flight) = self.in_flight.enter(message) else { return delivery.ack() };
        failpoint::reach("before_claim");
        let (tenant, arrival) = match self.tenants.active(message.tenant) {
            Some(tenant) => (Some(tenant), Some(arrival)),
            None => {
                drop(arrival);
                (self.tenants.active_after_refresh(message).await, None)
            }
        };
        let Some(tenant) = tenant else { return delivery.ack() };
        match self.handlers.try_reserve(tenant.tenant.id) {
            Some(reserved) => {
                let delivery = Some(delivery);
                let claimable = Claimable { tenant, message, delivery, slot, in_flight, reserved };
                self.claim(claimable, arrival).await;
            }
            None => {
                drop(arrival);
                let waiting = Waiting { tenant, message, delivery, slot, in_flight };
                self.wait_for_process(waiting).await;
            }
        }
    }

    /// Claims a row and runs it.
    async fn claim(self: Arc<Self>, claimable: Claimable, arrival: Option<Arrival>) {
        let Claimable { tenant, message, delivery, slot, in_flight, reserved } = claimable;
        let ack = |delivery: Option<Delivery>| delivery.into_iter().for_each(Delivery::ack);
        let mut claimed = self.writers.claim(&tenant, message.execution);
        drop(arrival);
        // A database that is backing off does not answer at once.
        let is_failing = !tenant.health.breaker_open_for().is_zero();
        let patience = if is_failing { Duration::ZERO } else { PATIENCE };
        tokio::select! {
            biased;
            answer = &mut claimed => match answer {
                Ok(Claimed::Yours(claim, claimed_at)) => {
                    let (worker, claim) = (self, *claim);
                    let held = Held { delivery, slot, in_flight, reserved };
                    Attempt { worker, tenant, claim, claimed_at, held }.run().await;
                }
                Ok(Claimed::Refused) => {
                    debug!(tenant = tenant.slug(), execution = %message.execution, "the claim was refused");
                    ack(delivery);
                }
                Ok(Claimed::Failed) | Err(_) => ack(delivery),
            },
            () = self.clock.sleep(patience) => {
                ack(delivery);
                drop((slot, reserved));
                // Without a permit the row stays dispatched, for the sweeper.
                let Some(_permit) = self.detached.try_acquire(message.tenant) else { return };
                tokio::select! {
                    biased;
                    answer = claimed => if let Ok(Claimed::Yours(claim, claimed_at)) = answer {
                        self.run_late(tenant, *claim, claimed_at, in_flight).await;
                    },
                    // The writer gives a claim back whose reply is not awaited any more.
                    () = self.release.cancelled() => {}
                }
            }
        }
    }

    /// Runs a claim that succeeded after its slot was given to another delivery. It waits for a slot and a
    /// place in a handler process, but only while its lease certainly holds. Its deadline counts from the
    /// claim.
    async fn run_late(
        self: Arc<Self>,
        tenant: Arc<OpenTenant>,
        claim: Claim,
        claimed_at: BootTime,
        in_flight: InFlightGuard,
    ) {
        let reserving = async {
            let reserved = self.handlers.reserve(&claim.job_type, tenant.tenant.id).await?;
            Some((reserved, self.slots.clone().acquire_owned().await.ok()?))
        };
        let reserved = tokio::select! {
            biased;
            reserved = reserving => reserved,
            () = self.clock.sleep(self.leases.interval()) => None,
        };
        let Some((reserved, slot)) = reserved else {
            return self.writers.give_back(&tenant, &claim);
        };
        let held = Held { delivery: None, slot, in_flight, reserved };
        Attempt { worker: self, tenant, claim, claimed_at, held }.run().await;
    }

    /// Moves an unreadable message to the dead-letter queue for inspection.
    async fn bury(&self, delivery: Delivery, error: MessageError) {
        warn!("a message was put into polychron.dead: {error}");
        let reason = error.to_string();
        while self.publisher.bury(delivery.body.clone(), &reason).await != Confirm::Confirmed {
            tokio::select! {
                biased;
                () = self.clock.sleep(BURY_EVERY) => {}
                // Unacknowledged, the broker delivers it again to another consumer.
                () = self.release.cancelled() => return,
            }
        }
        self.metrics.messages_buried.inc();
        delivery.ack();
    }
}
