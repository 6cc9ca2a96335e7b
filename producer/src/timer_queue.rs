//! The time at which each tenant is polled next. Pure.
//!
//! A tenant has at most one timer. [`TimerQueue::pop_due`] removes it, and the poll loop sets the next
//! one when the poll has ended.

use std::collections::{BTreeMap, HashMap};

use shared::clock::BootTime;
use shared::id::TenantId;

/// Timers of the same instant fire in the order in which they were set, so that tenants take turns.
#[derive(Default)]
pub(crate) struct TimerQueue {
    timers: BTreeMap<(BootTime, u64), TenantId>,
    by_tenant: HashMap<TenantId, (BootTime, u64)>,
    /// Numbers the timers in the order in which they were set.
    sequence: u64,
}

impl TimerQueue {
    /// Sets a tenant's timer to `at`, unless it has one that fires earlier.
    pub(crate) fn set(&mut self, tenant: TenantId, at: BootTime) {
        self.sequence += 1;
        let timer = self.by_tenant.entry(tenant).or_insert((at, self.sequence));
        if at < timer.0 {
            self.timers.remove(timer);
            *timer = (at, self.sequence);
        }
        self.timers.insert(*timer, tenant);
    }

    /// When the next timer fires.
    pub(crate) fn next_at(&self) -> Option<BootTime> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes the next timer that has fired by `now`.
    pub(crate) fn pop_due(&mut self, now: BootTime) -> Option<TenantId> {
        self.next_at().filter(|at| *at <= now)?;
        let (_, tenant) = self.timers.pop_first()?;
        self.by_tenant.remove(&tenant);
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
    fn timers_fire_in_the_order_of_their_times_and_then_in_the_order_they_were_set() {
        let mut timers = TimerQueue::default();
        for (n, at) in [(1, 5), (2, 3), (3, 5), (4, 9)] {
            timers.set(tenant(n), seconds(at));
        }
        assert_eq!(timers.next_at(), Some(seconds(3)));
        assert_eq!(timers.pop_due(seconds(2)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(seconds(5))).collect();
        assert_eq!(due, [tenant(2), tenant(1), tenant(3)]);
        assert_eq!(timers.next_at(), Some(seconds(9)));
    }

    #[test]
    fn a_tenant_has_one_timer_and_the_earliest_counts() {
        let mut timers = TimerQueue::default();
        timers.set(tenant(1), seconds(9));
        timers.set(tenant(1), seconds(12));
        assert_eq!(timers.next_at(), Some(seconds(9)));
        timers.set(tenant(1), seconds(4));
        assert_eq!(timers.pop_due(seconds(20)), Some(tenant(1)));
        assert_eq!(timers.pop_due(seconds(20)), None, "the later timer was replaced");
        timers.set(tenant(1), seconds(7));
        assert_eq!(timers.next_at(), Some(seconds(7)), "none is left of the earlier ones");
    }

    #[test]
    fn a_tenant_whose_timer_is_set_again_to_the_same_time_keeps_its_turn() {
        let mut timers = TimerQueue::default();
        for n in [1, 2, 1] {
            timers.set(tenant(n), seconds(3));
        }
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(seconds(3))).collect();
        assert_eq!(due, [tenant(1), tenant(2)]);
    }
}
