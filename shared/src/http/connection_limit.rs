//! Limits the number of open connections, in total and per peer.
//!
//! A full server closes an idle connection instead of refusing the new one. So nobody can lock others out
//! by holding unused connections, and a health probe or an operator can always connect.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// How many connections of one signed-in user are closed last. If all were, one user could lock the others
/// out.
const TRUSTED_EACH_MAX: usize = 16;

/// The open connections of one server, and their limits.
pub(super) struct ConnectionLimit {
    /// The maximum number of connections.
    total: usize,
    /// The maximum number of connections of one peer.
    per_peer: usize,
    /// Counts each progress of any connection, so that no two connections have the same value.
    progress: AtomicU64,
    open: Mutex<HashMap<u64, Arc<OpenConnection>>>,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct OpenConnection {
    /// The peer's network, whose connections are counted together.
    peer: IpAddr,
    /// The peer's own address.
    address: IpAddr,
    limit: std::sync::Weak<ConnectionLimit>,
    /// The value of [`ConnectionLimit::progress`] when bytes last moved.
    progressed: AtomicU64,
    /// The signed-in user, once known.
    user: Mutex<Option<Arc<str>>>,
    /// Cancelled to close the connection.
    pub(super) close: CancellationToken,
}

impl ConnectionLimit {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<ConnectionLimit> {
        let (progress, open) = (AtomicU64::new(0), Mutex::default());
        Arc::new(ConnectionLimit { total, per_peer, progress, open })
    }

    /// Admits a connection. If a limit is reached, closes the connection that has made no progress for the
    /// longest time; those of signed-in users are closed last.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admitted {
        let number = self.tick();
        let connection = Arc::new(OpenConnection {
            peer: network(peer),
            address: peer.to_canonical(),
            limit: Arc::downgrade(self),
            progressed: AtomicU64::new(number),
            user: Mutex::default(),
            close: CancellationToken::new(),
        });
        let mut open = self.open();
        let of_peer = open.values().filter(|other| other.peer == connection.peer).count();
        if of_peer >= self.per_peer {
            close_one(&mut open, |other| other.peer == connection.peer);
        } else if open.len() >= self.total {
            close_one(&mut open, |_| true);
        }
        open.insert(number, connection.clone());
        Admitted { number, connection, limit: self.clone() }
    }

    fn tick(&self) -> u64 {
        self.progress.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenConnection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn close_one(open: &mut HashMap<u64, Arc<OpenConnection>>, may: impl Fn(&OpenConnection) -> bool) {
    let idlest =
        open.iter().filter(|(_, connection)| may(connection)).min_by_key(|(_, connection)| {
            (connection.user().is_some(), connection.progressed.load(Ordering::Relaxed))
        });
    if let Some(number) = idlest.map(|(number, _)| *number)
        && let Some(connection) = open.remove(&number)
    {
        connection.close.cancel();
    }
}

/// The network that counts as one peer: a single IPv6 user usually has a whole /64.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

impl OpenConnection {
    /// Records that bytes were transferred.
    pub(super) fn progressed(&self) {
        if let Some(limit) = self.limit.upgrade() {
            self.progressed.store(limit.tick(), Ordering::Relaxed);
        }
    }

    fn user(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted connection. Dropping it removes the connection from the limit's count.
pub(super) struct Admitted {
    number: u64,
    pub(super) connection: Arc<OpenConnection>,
    limit: Arc<ConnectionLimit>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limit.open().remove(&self.number);
    }
}

/// The connection on which a request arrived. It is one of the request's extensions.
#[derive(Clone, Debug)]
pub struct Connection(pub(super) Arc<OpenConnection>);

impl Connection {
    /// The peer's address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Records the user who has signed in on this connection, so that a full server closes it last. Applies
    /// to at most 16 connections of each user.
    pub fn signed_in(&self, user: &str) {
        let Some(limit) = self.0.limit.upgrade() else { return };
        if self.0.user().as_deref() == Some(user) {
            return;
        }
        let open = limit.open();
        let theirs =
            open.values().filter(|connection| connection.user().as_deref() == Some(user)).count();
        *self.0.user() = (theirs < TRUSTED_EACH_MAX).then(|| user.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn closed(admitted: &[Admitted]) -> Vec<usize> {
        let closed =
            admitted.iter().enumerate().filter(|(_, one)| one.connection.close.is_cancelled());
        closed.map(|(at, _)| at).collect()
    }

    #[test]
    fn a_full_server_closes_the_connection_without_progress_for_the_longest() {
        let limit = ConnectionLimit::new(3, 3);
        let mut admitted: Vec<_> = (0..3).map(|n| limit.admit(peer(n))).collect();
        assert!(closed(&admitted).is_empty());
        admitted[0].connection.progressed();
        admitted.push(limit.admit(peer(9)));
        assert_eq!(closed(&admitted), [1]);
        admitted.pop();
        admitted.push(limit.admit(peer(9)));
        assert_eq!(closed(&admitted), [1], "a closed connection no longer counts");
    }

    #[test]
    fn a_peer_has_its_own_limit_and_an_ipv6_network_is_one_peer() {
        let limit = ConnectionLimit::new(10, 2);
        let address = |n: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
        let admitted: Vec<_> = [address(1), address(2), peer(1), address(3)]
            .into_iter()
            .map(|peer| limit.admit(peer))
            .collect();
        assert_eq!(closed(&admitted), [0]);
    }

    #[test]
    fn signed_in_users_are_closed_last_but_cannot_occupy_all_connections() {
        let limit = ConnectionLimit::new(TRUSTED_EACH_MAX + 2, usize::MAX);
        let mut admitted: Vec<_> =
            (0..TRUSTED_EACH_MAX + 2).map(|_| limit.admit(peer(1))).collect();
        for one in &admitted[..TRUSTED_EACH_MAX + 1] {
            Connection(one.connection.clone()).signed_in("ann");
        }
        admitted.push(limit.admit(peer(2)));
        assert_eq!(closed(&admitted), [TRUSTED_EACH_MAX], "the user has one connection too many");
        admitted.push(limit.admit(peer(2)));
        assert_eq!(
            closed(&admitted),
            [TRUSTED_EACH_MAX, TRUSTED_EACH_MAX + 1],
            "the first anonymous one"
        );
        admitted.push(limit.admit(peer(2)));
        admitted.push(limit.admit(peer(2)));
        assert!(
            closed(&admitted).iter().all(|at| *at >= TRUSTED_EACH_MAX),
            "anonymous connections are closed first"
        );
    }
}
