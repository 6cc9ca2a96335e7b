//! The callers who wait for a place in a process, in a fair order.

use std::collections::VecDeque;

use shared::id::TenantId;
use tokio::sync::oneshot;

use super::run::Place;

/// The callers, in rounds: each tenant has one caller in a round. So a tenant with a hundred callers does not
/// keep another one waiting for all of them.
#[derive(Default)]
pub(super) struct WaitingQueue(VecDeque<Waiting>);

/// A caller who waits.
pub(super) struct Waiting {
    pub(super) job_type: String,
    pub(super) tenant: TenantId,
    round: u64,
    pub(super) place: oneshot::Sender<Place>,
}

impl WaitingQueue {
    /// Adds a caller behind those of its own tenant.
    pub(super) fn push(
        &mut self,
        job_type: String,
        tenant: TenantId,
        place: oneshot::Sender<Place>,
    ) {
        let last_of_tenant = self.0.iter().rev().find(|waiting| waiting.tenant == tenant);
        let round = match (last_of_tenant, self.0.front()) {
            (Some(last), _) => last.round + 1,
            (None, Some(first)) => first.round,
            (None, None) => 0,
        };
        let at = self.0.partition_point(|waiting| waiting.round <= round);
        self.0.insert(at, Waiting { job_type, tenant, round, place });
    }

    /// Takes the first caller who has not stopped waiting.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.remove_closed();
        self.0.pop_front()
    }

    /// Puts the caller back that was taken last.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.0.push_front(waiting);
    }

    /// Removes the callers who have stopped waiting.
    pub(super) fn remove_closed(&mut self) {
        self.0.retain(|waiting| !waiting.place.is_closed());
    }

    /// Makes the callers for whose job type `stays` is false stop waiting.
    pub(super) fn retain_types(&mut self, stays: impl Fn(&str) -> bool) {
        self.0.retain(|waiting| stays(&waiting.job_type));
    }

    /// Makes all callers stop waiting.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use shared::random::Random;

    use super::*;

    #[test]
    fn tenants_take_turns_and_each_keeps_its_order() {
        let tenant =
            |seed| TenantId::new("2026-11-24T12:00:00Z".parse().unwrap(), &Random::seeded(seed));
        let (acme, globex) = (tenant(1), tenant(2));
        let (mut queue, mut callers) = (WaitingQueue::default(), Vec::new());
        let mut push = |queue: &mut WaitingQueue, name: &str, tenant| {
            let (place, caller) = oneshot::channel();
            callers.push(caller);
            queue.push(name.to_owned(), tenant, place);
        };
        for name in ["a1", "a2", "a3", "a4"] {
            push(&mut queue, name, acme);
        }
        push(&mut queue, "g1", globex);
        let first = queue.pop().unwrap();
        assert_eq!(first.job_type, "a1");
        queue.put_back(first);
        push(&mut queue, "g2", globex);
        push(&mut queue, "a5", acme);
        let order = std::iter::from_fn(|| queue.pop()).map(|waiting| waiting.job_type);
        let order: Vec<String> = order.collect();
        assert_eq!(order, ["a1", "g1", "a2", "g2", "a3", "a4", "a5"]);
    }
}
