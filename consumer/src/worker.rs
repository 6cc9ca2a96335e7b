//! From a delivery to its acknowledgement: claim the row, run its handler, write the result.
//!
//! In the life of a job: `queue.rs` delivers the message; `attempt.rs` goes from the claim to the
//! result, and `executor.rs` runs the handler in between; `store.rs` has both statements.
//!
//! Every delivery is acknowledged, whatever happened. Work that could not be done now stays in the
//! tenant's table, and the sweeper publishes another message, so no message is requeued forever.

mod attempt;
mod in_flight;
mod instrumentation;
mod runner;
mod tenant_lookup;

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::failpoint;
use shared::message::{Message, MessageError};
use shared::metrics::Metrics;
use shared::queue::{Delivery, Publisher};
use shared::store::Claim;
use shared::tenants::OpenTenant;
use shared::trace::Tracer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::heartbeat::Leases;
use crate::writer::{Arrival, Claimed, Writers};
use attempt::Attempt;
pub(crate) use in_flight::InFlight;
use in_flight::InFlightGuard;
pub(crate) use runner::Runner;
pub(crate) use tenant_lookup::TenantLookup;

/// How long a slot waits for a tenant's database. Then the slot serves other deliveries, and the
/// claim or the result goes on without it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many claims may go on without a slot. Further ones are left to the sweeper.
const DETACHED_CLAIMS_MAX: usize = 256;
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
    /// Permits for claims that go on without a slot.
    pub(crate) detached: Arc<Semaphore>,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// Cancelled when the process gives back what still runs.
    pub(crate) release: CancellationToken,
    pub(crate) clock: Clock,
}

/// A delivery with the slot that it is served with.
pub(crate) struct Received {
    pub(crate) delivery: Delivery,
    pub(crate) slot: OwnedSemaphorePermit,
    /// Until the claim is submitted, or there is none.
    pub(crate) arrival: Arrival,
}

/// The permits for [`Worker::detached`].
pub(crate) fn detached_claims() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(DETACHED_CLAIMS_MAX))
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
        let mut claimed = self.writers.claim(&tenant, message.execution);
        drop(arrival);
        // A database that is backing off does not answer at once.
        let is_failing = !tenant.health.breaker_open_for().is_zero();
        let patience = if is_failing { Duration::ZERO } else { PATIENCE };
        tokio::select! {
            biased;
            answer = &mut claimed => match answer {
                Ok(Claimed::Yours(claim, claimed_at)) => {
                    let (worker, delivery) = (self, Some(delivery));
                    let claim = *claim;
                    Attempt { worker, tenant, claim, claimed_at, delivery, slot, in_flight }.run().await;
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
                // Without a permit the row stays dispatched, for the sweeper.
                let Ok(_permit) = self.detached.clone().try_acquire_owned() else { return };
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

    /// Runs a claim that succeeded after its slot was given away. It waits for a free slot as long as
    /// its lease certainly holds, and its deadline counts from the claim.
    async fn run_late(
        self: Arc<Self>,
        tenant: Arc<OpenTenant>,
        claim: Claim,
        claimed_at: BootTime,
        in_flight: InFlightGuard,
    ) {
        let slot = tokio::select! {
            biased;
            slot = self.slots.clone().acquire_owned() => slot.ok(),
            () = self.clock.sleep(self.leases.interval()) => None,
        };
        let Some(slot) = slot else { return self.writers.give_back(&tenant, &claim) };
        let (worker, delivery) = (self, None);
        Attempt { worker, tenant, claim, claimed_at, delivery, slot, in_flight }.run().await;
    }

    /// Moves an unreadable message to the dead-letter queue, where people can look at it.
    async fn bury(&self, delivery: Delivery, error: MessageError) {
        warn!("a message was put into polychron.dead: {error}");
        let reason = error.to_string();
        while !self.publisher.bury(delivery.body.clone(), &reason).await {
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
