//! How often a password may be tried. Pure.
//!
//! Guessing is limited for each address at each name, for each address, and for each name. The last
//! limit alone would let strangers lock a user out, so an address that has not tried a name yet
//! may always do so once, and a browser in which that user has signed in before is counted by
//! itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use shared::clock::BootTime;

/// How long an attempt counts.
const WITHIN: Duration = Duration::from_secs(60);
/// The most attempts of one address, or of one known browser, at one name.
const AT_NAME_MAX: u32 = 5;
/// The most attempts of one address at all names.
const BY_ADDRESS_MAX: u32 = 20;
/// The most attempts at one name by all addresses, beyond which each address has only one.
const ON_NAME_MAX: u32 = 30;
/// The most counters. Strangers must not fill the memory.
const COUNTERS_MAX: usize = 20_000;

/// Counts attempts.
#[derive(Default)]
pub(super) struct RateLimit(HashMap<Counted, Count>);

#[derive(PartialEq, Eq, Hash)]
enum Counted {
    /// Attempts of an address at a name, of which only the hash is kept.
    AtName(IpAddr, String),
    ByAddress(IpAddr),
    OnName(String),
    /// Attempts of a browser in which the user has signed in before.
    ByDevice(String),
    /// Unknown tokens that an address has sent.
    Tokens(IpAddr),
}

#[derive(Clone, Copy)]
struct Count {
    attempts: u32,
    since: BootTime,
}

/// Whether an attempt is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// Refused; only the first refusal in a row is logged.
    Limited {
        is_first: bool,
    },
}

impl RateLimit {
    /// Counts an attempt of an address at a name, by its hash.
    pub(super) fn attempt(&mut self, now: BootTime, address: IpAddr, name: &str) -> Verdict {
        let at_name = self.count(now, Counted::AtName(address, name.to_owned()));
        let by_address = self.count(now, Counted::ByAddress(address));
        let on_name = self.count(now, Counted::OnName(name.to_owned()));
        let is_allowed = at_name <= AT_NAME_MAX
            && by_address <= BY_ADDRESS_MAX
            && (on_name <= ON_NAME_MAX || at_name == 1);
        let is_first = at_name == AT_NAME_MAX + 1 || by_address == BY_ADDRESS_MAX + 1;
        if is_allowed { Verdict::Allowed } else { Verdict::Limited { is_first } }
    }

    /// Counts an attempt in a browser in which that user has signed in before.
    pub(super) fn attempt_of_device(&mut self, now: BootTime, device: &str) -> Verdict {
        let attempts = self.count(now, Counted::ByDevice(device.to_owned()));
        match attempts <= AT_NAME_MAX {
            true => Verdict::Allowed,
            false => Verdict::Limited { is_first: attempts == AT_NAME_MAX + 1 },
        }
    }

    /// Counts an unknown token, and returns whether it is the first that the address sends in a minute.
    pub(super) fn is_first_token(&mut self, now: BootTime, address: IpAddr) -> bool {
        self.count(now, Counted::Tokens(address)) == 1
    }

    /// Forgets an address's attempts at a name, since it knew the password.
    pub(super) fn succeeded(&mut self, address: IpAddr, name: &str) {
        self.0.remove(&Counted::AtName(address, name.to_owned()));
    }

    fn count(&mut self, now: BootTime, counted: Counted) -> u32 {
        if self.0.len() >= COUNTERS_MAX && !self.0.contains_key(&counted) {
            self.make_room(now);
        }
        let count = self.0.entry(counted).or_insert(Count { attempts: 0, since: now });
        if now - count.since > WITHIN {
            *count = Count { attempts: 0, since: now };
        }
        count.attempts = count.attempts.saturating_add(1);
        count.attempts
    }

    fn make_room(&mut self, now: BootTime) {
        self.0.retain(|_, count| now - count.since <= WITHIN / 2);
        if self.0.len() >= COUNTERS_MAX {
            // With this many addresses at once, their counters no longer limit anything.
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Verdict = Verdict::Allowed;

    fn peer(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn after(seconds: u64) -> BootTime {
        BootTime::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_may_try_a_name_five_times_a_minute() {
        let (mut limit, now) = (RateLimit::default(), BootTime::ZERO);
        for _ in 0..5 {
            assert_eq!(limit.attempt(now, peer(1), "ann"), ALLOWED);
        }
        let refused = |is_first| Verdict::Limited { is_first };
        assert_eq!(limit.attempt(now, peer(1), "ann"), refused(true));
        assert_eq!(limit.attempt(now, peer(1), "ann"), refused(false));
        assert_eq!(limit.attempt(now, peer(1), "sue"), ALLOWED);
        assert_eq!(limit.attempt(now, peer(2), "ann"), ALLOWED);
        assert_eq!(limit.attempt(after(61), peer(1), "ann"), ALLOWED);
    }

    #[test]
    fn an_address_may_not_try_many_names() {
        let (mut limit, now) = (RateLimit::default(), BootTime::ZERO);
        let allowed = (0..100)
            .filter(|n| limit.attempt(now, peer(1), &format!("user {n}")) == ALLOWED)
            .count();
        assert_eq!(allowed, 20);
    }

    #[test]
    fn many_addresses_neither_guess_on_nor_lock_the_user_out() {
        let (mut limit, now) = (RateLimit::default(), BootTime::ZERO);
        let mut allowed = 0;
        for n in 0..500 {
            for _ in 0..5 {
                allowed += u32::from(limit.attempt(now, peer(n), "ann") == ALLOWED);
            }
        }
        assert!((500..=530).contains(&allowed), "about one for each address: {allowed}");
        assert_eq!(limit.attempt(now, peer(1_000), "ann"), ALLOWED, "a new address");
        for _ in 0..5 {
            assert_eq!(limit.attempt_of_device(now, "known"), ALLOWED);
        }
        assert_ne!(limit.attempt_of_device(now, "known"), ALLOWED);
    }

    #[test]
    fn the_right_password_resets_the_count() {
        let (mut limit, now) = (RateLimit::default(), BootTime::ZERO);
        for _ in 0..4 {
            for _ in 0..4 {
                assert_eq!(limit.attempt(now, peer(1), "ann"), ALLOWED);
            }
            limit.succeeded(peer(1), "ann");
        }
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut limit = RateLimit::default();
        for n in 0..100_000 {
            let _ = limit.attempt(BootTime::ZERO, peer(n), &format!("user {n}"));
            assert!(limit.0.len() <= COUNTERS_MAX);
        }
    }
}
