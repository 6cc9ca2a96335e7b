//! Permits for deliveries that go on without a slot, shared fairly among the tenants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::id::TenantId;

/// How many permits there are. Deliveries without one are left to the sweeper.
const PERMITS: usize = 256;

/// The permits. A tenant gets one only while it has fewer than are free, so that none takes them all: one alone
/// gets half of them, and leaves the other half to the others.
#[derive(Clone, Default)]
pub(crate) struct Detached(Arc<Mutex<HashMap<TenantId, usize>>>);

/// A permit. Dropping it gives it back.
pub(super) struct Permit {
    detached: Detached,
    tenant: TenantId,
}

impl Detached {
    /// Takes a permit; none if the tenant has its share.
    pub(super) fn try_acquire(&self, tenant: TenantId) -> Option<Permit> {
        let mut taken = self.taken();
        let free = PERMITS.saturating_sub(taken.values().sum());
        let theirs = taken.get(&tenant).copied().unwrap_or_default();
        if theirs >= free {
            return None;
        }
        taken.insert(tenant, theirs + 1);
        Some(Permit { detached: self.clone(), tenant })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.detached.taken();
        if let Some(theirs) = taken.get_mut(&self.tenant) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::random::Random;

    use super::*;

    #[test]
    fn no_tenant_takes_all_permits() {
        let tenant =
            |seed| TenantId::new("2026-11-24T12:00:00Z".parse().unwrap(), &Random::seeded(seed));
        let detached = Detached::default();
        let take = |seed| -> Vec<Permit> {
            std::iter::from_fn(|| detached.try_acquire(tenant(seed))).collect()
        };
        let (acme, globex, initech) = (take(1), take(2), take(3));
        assert_eq!((acme.len(), globex.len(), initech.len()), (128, 64, 32));
        drop((acme, globex, initech));
        assert!(detached.taken().is_empty(), "nothing is kept of who has gone");
        assert_eq!(take(2).len(), 128);
    }
}
