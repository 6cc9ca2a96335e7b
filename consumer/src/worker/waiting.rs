//! Deliveries that wait, unclaimed, for a place in a handler process.
//!
//! A message does not contain its job's type, so the type is read from the tenant's database, and only
//! deliveries for a command without a free place wait. After a moment they give up their slot, so that it
//! serves other deliveries, and acknowledge their message. The sweeper publishes another one, which may
//! reach a consumer with a free place.

use std::pin::pin;
use std::sync::Arc;

use shared::id::ExecutionId;
use shared::message::Message;
use shared::queue::Delivery;
use shared::store::chain;
use shared::tenants::OpenTenant;
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::in_flight::InFlightGuard;
use super::{Claimable, PATIENCE, Worker};
use crate::handler_process::Reserved;

/// A delivery for which some command had no free place.
pub(super) struct Waiting {
    pub(super) tenant: Arc<OpenTenant>,
    pub(super) message: Message,
    pub(super) delivery: Delivery,
    pub(super) slot: OwnedSemaphorePermit,
    pub(super) in_flight: InFlightGuard,
}

impl Worker {
    /// Waits for a place in a handler process, and then claims the row.
    pub(super) async fn wait_for_process(self: Arc<Self>, waiting: Waiting) {
        let Waiting { tenant, message, delivery, slot, in_flight } = waiting;
        let (worker, of) = (self.clone(), tenant.clone());
        let mut reserving = pin!(worker.reserve(&of, message.execution));
        let patience = self.clock.sleep(PATIENCE);
        let (reserved, delivery, slot) = tokio::select! {
            biased;
            // Unacknowledged, the broker delivers it again to another consumer.
            () = self.drain.cancelled() => return,
            reserved = &mut reserving => match reserved {
                Some(reserved) => (reserved, Some(delivery), slot),
                None => return delivery.ack(),
            },
            () = patience => {
                delivery.ack();
                drop(slot);
                // Without a permit the row stays dispatched, for the sweeper.
                let Some(_permit) = self.waiting.try_acquire(message.tenant) else { return };
                let with_slot = async {
                    let reserved = reserving.await?;
                    Some((reserved, self.slots.clone().acquire_owned().await.ok()?))
                };
                tokio::select! {
                    biased;
                    () = self.drain.cancelled() => return,
                    reserved = with_slot => match reserved {
                        Some((reserved, slot)) => (reserved, None, slot),
                        None => return,
                    },
                }
            }
        };
        self.claim(Claimable { tenant, message, delivery, slot, in_flight, reserved }, None).await;
    }

    /// Waits for a place in a process that handles the row's type, if any does. None if the row cannot be
    /// claimed.
    async fn reserve(&self, tenant: &OpenTenant, execution: ExecutionId) -> Option<Reserved> {
        match tenant.store.read_job_type(execution).await {
            Ok(job_type) => self.handlers.reserve(&job_type?, tenant.tenant.id).await,
            Err(error) => {
                tenant.health.failed(tenant.slug(), &error);
                debug!(tenant = tenant.slug(), %execution, "a job type could not be read: {}", chain(&error));
                None
            }
        }
    }
}
