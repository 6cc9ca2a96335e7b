//! The messages this process is working on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::message::Message;

/// The messages in progress, each from its delivery until its result is written. A second delivery
/// of one of them must not start its handler again.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Message>>>);

/// Removes the message from [`InFlight`] when dropped.
pub(super) struct InFlightGuard {
    in_flight: InFlight,
    message: Message,
}

impl InFlight {
    /// Adds a message; `None` if it is in progress already.
    pub(super) fn enter(&self, message: Message) -> Option<InFlightGuard> {
        let is_new = self.messages().insert(message);
        is_new.then(|| InFlightGuard { in_flight: self.clone(), message })
    }

    fn messages(&self) -> MutexGuard<'_, HashSet<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.in_flight.messages().remove(&self.message);
    }
}
