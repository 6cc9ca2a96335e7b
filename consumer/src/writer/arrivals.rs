//! Deliveries between their receipt and their claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts deliveries that were received and whose claims are not submitted yet. An idle writer waits
/// for them, so deliveries that were received together are claimed by one statement.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Counter>);

#[derive(Default)]
struct Counter {
    count: AtomicUsize,
    /// Notified when `count` becomes zero.
    none_left: Notify,
}

/// One delivery whose claim may follow. Drop it once the claim is submitted, or before awaiting
/// anything else: claims of every tenant wait for it.
pub(crate) struct Arrival(Arc<Counter>);

impl Arrivals {
    /// Announces a delivery.
    pub(crate) fn announce(&self) -> Arrival {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Arrival(self.0.clone())
    }

    /// Waits until every announced delivery has submitted its claim or needs none.
    pub(super) async fn all_submitted(&self) {
        loop {
            let none_left = self.0.none_left.notified();
            if self.0.count.load(Ordering::Acquire) == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
