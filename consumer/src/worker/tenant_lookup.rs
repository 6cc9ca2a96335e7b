//! Finds the tenant of a message.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::BootTime;
use shared::id::TenantId;
use shared::message::Message;
use shared::store::{Control, chain};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::Mutex;
use tracing::warn;

/// The shortest time between two readings of the list for messages of unknown or suspended tenants.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// The known tenants, read again when a message names one that is not among them: it may have been
/// added or resumed just now, since producers dispatch only for active tenants.
pub(crate) struct TenantLookup {
    tenants: Arc<Tenants>,
    /// When the list was last read for such a message.
    refreshed: Mutex<BootTime>,
}

impl TenantLookup {
    pub(crate) fn new(tenants: Arc<Tenants>) -> TenantLookup {
        TenantLookup { tenants, refreshed: Mutex::default() }
    }

    /// The control database.
    pub(crate) fn control(&self) -> &Control {
        self.tenants.control()
    }

    /// The tenant, if it is known to be active.
    pub(super) fn active(&self, id: TenantId) -> Option<Arc<OpenTenant>> {
        self.tenants.get(id).filter(|tenant| tenant.is_active())
    }

    /// The same after reading the list again.
    pub(super) async fn active_after_refresh(&self, message: Message) -> Option<Arc<OpenTenant>> {
        self.refresh().await;
        if self.tenants.get(message.tenant).is_none() {
            warn!(tenant_id = %message.tenant, execution = %message.execution, "a message names an unknown tenant");
        }
        self.active(message.tenant)
    }

    async fn refresh(&self) {
        let mut refreshed = self.refreshed.lock().await;
        let now = self.tenants.clock().boot_time();
        if now - *refreshed >= REFRESH_AFTER {
            *refreshed = now;
            if let Err(error) = self.tenants.refresh().await {
                warn!("the list of tenants could not be read: {}", chain(&error));
            }
        }
    }
}
