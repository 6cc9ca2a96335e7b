//! A wake tells producers to poll a tenant at once.

use std::str::FromStr as _;

use uuid::Uuid;

use crate::id::TenantId;

/// A request to producers, to be carried out at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
