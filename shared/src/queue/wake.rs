//! A wake tells producers to poll a tenant at once.

use std::collections::HashSet;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::id::TenantId;

/// A request to producers, to be carried out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// To poll every tenant: wakes may have been missed.
    All,
    /// To poll this tenant: its tables have changed.
    Tenant(TenantId),
    /// To read the list of producers: one has joined or left.
    MembershipChanged,
}

/// On the wire, the nil id stands for a change of the membership. A producer from before that message
/// existed takes it for a tenant that it doesn't know, and ignores it.
const MEMBERSHIP_CHANGED: TenantId = TenantId(Uuid::nil());

impl Wake {
    /// The message's body; none for [`Wake::All`], which is never sent.
    pub(super) fn encode(self) -> Option<String> {
        match self {
            Wake::All => None,
            Wake::Tenant(tenant) => Some(tenant.to_string()),
            Wake::MembershipChanged => Some(MEMBERSHIP_CHANGED.to_string()),
        }
    }

    /// Reads a message's body; none if it is not a wake.
    pub(super) fn decode(body: &[u8]) -> Option<Wake> {
        let tenant = TenantId::from_str(std::str::from_utf8(body).ok()?).ok()?;
        Some(if tenant == MEMBERSHIP_CHANGED {
            Wake::MembershipChanged
        } else {
            Wake::Tenant(tenant)
        })
    }
}

/// The wakes that wait in a channel. Each waits there once: a flood of wakes for one tenant takes one
/// place of the channel, and displaces no wake for another.
#[derive(Clone, Default)]
pub(super) struct WaitingWakes(Arc<Mutex<HashSet<Wake>>>);

impl WaitingWakes {
    /// A wake to be put into the channel; none if the same wake waits there already.
    pub(super) fn add(&self, wake: Wake) -> Option<WaitingWake> {
        let is_new = self.lock().insert(wake);
        is_new.then(|| WaitingWake { wake, waiting: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Wake>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wake that waits until it is taken or dropped.
pub(super) struct WaitingWake {
    wake: Wake,
    waiting: WaitingWakes,
}

impl WaitingWake {
    /// The wake, which waits no longer: the same wake may be added again.
    pub(super) fn take(self) -> Wake {
        self.wake
    }
}

impl Drop for WaitingWake {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_waits_once_until_it_is_taken_or_dropped() {
        let waiting = WaitingWakes::default();
        let wake = Wake::Tenant(TenantId(Uuid::from_u128(7)));
        let first = waiting.add(wake).unwrap();
        assert!(waiting.clone().add(wake).is_none());
        let other = waiting.add(Wake::All).unwrap();
        assert_eq!(first.take(), wake);
        drop(waiting.add(wake).unwrap());
        assert!(waiting.add(wake).is_some());
        assert!(waiting.add(Wake::All).is_none());
        assert_eq!(other.take(), Wake::All);
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for wake in [Wake::MembershipChanged, Wake::Tenant(TenantId(Uuid::from_u128(7)))] {
            assert_eq!(Wake::decode(wake.encode().unwrap().as_bytes()), Some(wake));
        }
        assert_eq!(Wake::All.encode(), None);
    }

    #[test]
    fn the_nil_id_stands_for_a_change_of_the_membership() {
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(Wake::MembershipChanged.encode().as_deref(), Some(nil));
        assert_eq!(Wake::decode(nil.as_bytes()), Some(Wake::MembershipChanged));
    }

    #[test]
    fn other_bodies_are_no_wakes() {
        for body in [&b""[..], b"acme", b"\xff\xfe", b"00000000-0000-0000-0000-00000000000"] {
            assert_eq!(Wake::decode(body), None);
        }
    }
}
