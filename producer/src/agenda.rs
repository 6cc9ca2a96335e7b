//! When which tenant is to be looked at, in memory. Pure.
//!
//! A tenant stands here once; it is taken out when its time comes, and entered
//! again once it has been looked at. One that was removed meanwhile is simply not entered again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use shared::clock::BootTime;
use shared::id::TenantId;

/// A heap of each tenant's next time. Of tenants due together, the one that was entered first
/// comes first, so that they take turns.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(BootTime, u64, TenantId)>>,
    /// The entry that counts; older ones of the same tenant are left in the heap until met.
    current: HashMap<TenantId, (BootTime, u64)>,
    entered: u64,
}

impl Agenda {
    /// Looks at a tenant at `at`, and not when it was entered before.
    pub(crate) fn set(&mut self, tenant: TenantId, at: BootTime) {
        self.entered += 1;
        self.current.insert(tenant, (at, self.entered));
        self.heap.push(Reverse((at, self.entered, tenant)));
    }

    /// Looks at a tenant at `at` or before. Told of an unknown tenant, it enters it.
    pub(crate) fn set_at_latest(&mut self, tenant: TenantId, at: BootTime) {
        if self.current.get(&tenant).is_none_or(|(current, _)| at < *current) {
            self.set(tenant, at);
        }
    }

    /// When the next tenant is due.
    pub(crate) fn next_at(&mut self) -> Option<BootTime> {
        while let Some(Reverse((at, entered, tenant))) = self.heap.peek() {
            if self.current.get(tenant) == Some(&(*at, *entered)) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes out the next tenant that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: BootTime) -> Option<TenantId> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((_, _, tenant)) = self.heap.pop()?;
        self.current.remove(&tenant);
        Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(n))
    }

    fn seconds(n: u64) -> BootTime {
        BootTime::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn tenants_come_when_they_are_due_and_in_turn() {
        let mut agenda = Agenda::default();
        for (n, at) in [(1, 5), (2, 3), (3, 5), (4, 9)] {
            agenda.set(tenant(n), seconds(at));
        }
        assert_eq!(agenda.next_at(), Some(seconds(3)));
        assert_eq!(agenda.pop_due(seconds(2)), None);
        let due: Vec<_> = std::iter::from_fn(|| agenda.pop_due(seconds(5))).collect();
        assert_eq!(due, [tenant(2), tenant(1), tenant(3)]);
        assert_eq!(agenda.next_at(), Some(seconds(9)));
    }

    #[test]
    fn only_the_entry_that_counts_counts() {
        let mut agenda = Agenda::default();
        agenda.set(tenant(1), seconds(9));
        agenda.set_at_latest(tenant(1), seconds(12));
        assert_eq!(agenda.next_at(), Some(seconds(9)));
        agenda.set_at_latest(tenant(1), seconds(4));
        assert_eq!(agenda.pop_due(seconds(20)), Some(tenant(1)));
        assert_eq!(agenda.pop_due(seconds(20)), None, "the older entry is void");
        agenda.set(tenant(1), seconds(3));
        agenda.set(tenant(1), seconds(7));
        assert_eq!(agenda.next_at(), Some(seconds(7)), "a later time replaces an earlier one");
    }
}
