//! The places for connections, and who gives one up when all are taken.
//!
//! A full server closes a connection instead of refusing the new one: whoever holds connections
//! without using them loses them, and a health probe or an operator always gets in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The most connections of one user that are closed last. More would let one user keep the others
/// out.
const TRUSTED_EACH_MAX: usize = 16;

/// The places of one server.
pub(super) struct Places {
    /// How many there are.
    total: usize,
    /// How many of them one peer may hold.
    per_peer: usize,
    /// Counts every progress of every connection, so that two are never equal.
    progress: AtomicU64,
    taken: Mutex<HashMap<u64, Arc<Place>>>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    /// The peer's network, whose places are counted together.
    peer: IpAddr,
    /// The peer's own address.
    address: IpAddr,
    places: std::sync::Weak<Places>,
    /// The value of [`Places::progress`] when bytes last moved.
    progressed: AtomicU64,
    /// The signed-in user, once known.
    user: Mutex<Option<Arc<str>>>,
    /// Asks the connection to end.
    pub(super) close: CancellationToken,
}

impl Places {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Places> {
        let (progress, taken) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Places { total, per_peer, progress, taken })
    }

    /// Takes a place. If all are taken, or all that this peer may hold, the one whose connection
    /// has been without progress for the longest is closed; signed-in users' come last.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Taken {
        let number = self.tick();
        let place = Arc::new(Place {
            peer: network(peer),
            address: peer.to_canonical(),
            places: Arc::downgrade(self),
            progressed: AtomicU64::new(number),
            user: Mutex::default(),
            close: CancellationToken::new(),
        });
        let mut taken = self.taken();
        let of_peer = taken.values().filter(|other| other.peer == place.peer).count();
        if of_peer >= self.per_peer {
            close_one(&mut taken, |other| other.peer == place.peer);
        } else if taken.len() >= self.total {
            close_one(&mut taken, |_| true);
        }
        taken.insert(number, place.clone());
        Taken { number, place, places: self.clone() }
    }

    fn tick(&self) -> u64 {
        self.progress.fetch_add(1, Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close_one(taken: &mut HashMap<u64, Arc<Place>>, may: impl Fn(&Place) -> bool) {
    let idlest = taken.iter().filter(|(_, place)| may(place)).min_by_key(|(_, place)| {
        (place.user().is_some(), place.progressed.load(Ordering::Relaxed))
    });
    if let Some(number) = idlest.map(|(number, _)| *number)
        && let Some(place) = taken.remove(&number)
    {
        place.close.cancel();
    }
}

/// What counts as one peer: one user of IPv6 has a whole /64.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

impl Place {
    /// Notes that bytes have moved.
    pub(super) fn progressed(&self) {
        if let Some(places) = self.places.upgrade() {
            self.progressed.store(places.tick(), Ordering::Relaxed);
        }
    }

    fn user(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place while it is taken. Dropping it gives the place back.
pub(super) struct Taken {
    number: u64,
    pub(super) place: Arc<Place>,
    places: Arc<Places>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.taken().remove(&self.number);
    }
}

/// The connection that a request came by, among the request's extensions.
#[derive(Clone, Debug)]
pub struct Connection(pub(super) Arc<Place>);

impl Connection {
    /// The peer's address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Notes who has signed in on this connection: when places are short, it is closed after those
    /// of strangers. It holds for some connections of each user.
    pub fn signed_in(&self, user: &str) {
        let Some(places) = self.0.places.upgrade() else { return };
        if self.0.user().as_deref() == Some(user) {
            return;
        }
        let taken = places.taken();
        let theirs = taken.values().filter(|place| place.user().as_deref() == Some(user)).count();
        *self.0.user() = (theirs < TRUSTED_EACH_MAX).then(|| user.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn closed(taken: &[Taken]) -> Vec<usize> {
        let closed = taken.iter().enumerate().filter(|(_, one)| one.place.close.is_cancelled());
        closed.map(|(at, _)| at).collect()
    }

    #[test]
    fn a_full_server_closes_what_has_made_no_progress_for_the_longest() {
        let places = Places::new(3, 3);
        let mut taken: Vec<_> = (0..3).map(|n| places.take(peer(n))).collect();
        assert!(closed(&taken).is_empty());
        taken[0].place.progressed();
        taken.push(places.take(peer(9)));
        assert_eq!(closed(&taken), [1]);
        taken.pop();
        taken.push(places.take(peer(9)));
        assert_eq!(closed(&taken), [1], "a place that was given back is free");
    }

    #[test]
    fn one_peer_has_a_share_and_a_user_of_ipv6_is_one_peer() {
        let places = Places::new(10, 2);
        let address = |n: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
        let taken: Vec<_> = [address(1), address(2), peer(1), address(3)]
            .into_iter()
            .map(|peer| places.take(peer))
            .collect();
        assert_eq!(closed(&taken), [0]);
    }

    #[test]
    fn who_has_signed_in_stays_but_nobody_keeps_all_places() {
        let places = Places::new(TRUSTED_EACH_MAX + 2, usize::MAX);
        let mut taken: Vec<_> = (0..TRUSTED_EACH_MAX + 2).map(|_| places.take(peer(1))).collect();
        for one in &taken[..TRUSTED_EACH_MAX + 1] {
            Connection(one.place.clone()).signed_in("ann");
        }
        taken.push(places.take(peer(2)));
        assert_eq!(closed(&taken), [TRUSTED_EACH_MAX], "one too many to be trusted");
        taken.push(places.take(peer(2)));
        assert_eq!(closed(&taken), [TRUSTED_EACH_MAX, TRUSTED_EACH_MAX + 1], "a stranger");
        taken.push(places.take(peer(2)));
        taken.push(places.take(peer(2)));
        assert!(closed(&taken).iter().all(|at| *at >= TRUSTED_EACH_MAX), "strangers go first");
    }
}
