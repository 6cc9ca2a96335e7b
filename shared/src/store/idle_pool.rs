//! One database server: its connection budget, and the pool of its idle connections.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};

use crate::clock::{BootTime, Clock};

/// How long a connection may stay idle.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// How long, if the role or the database has few: long enough for the next statement, so that other processes
/// and the application get their turn.
const LIMITED_IDLE: Duration = Duration::from_millis(500);
/// How long a budget stays before it grows by one connection again.
const GROWS_AFTER: Duration = Duration::from_secs(10);
/// How long no connection stays idle after the server has refused one for the same reason.
const TIGHT_FOR: Duration = Duration::from_secs(30);
/// A process's share of a server's connections, if no number is set: six processes leave half of them to
/// others.
const SHARE: usize = 12;
/// The smallest share.
const SHARE_MIN: usize = 2;

/// A process's share of so many connections, if no number is set.
pub fn share(of: usize) -> usize {
    (of / SHARE).max(SHARE_MIN)
}

/// The budget of one database server, and the idle connections to any database on it.
pub(super) struct Server<C> {
    /// Host and port, or the path of its socket.
    pub(super) address: String,
    pub(super) clock: Clock,
    state: Mutex<State<C>>,
    /// Notified whenever a connection was closed or checked in.
    freed: Notify,
    /// Set once two connections to the server have had a session each. A pooler that is inserted later is
    /// detected by the first prepared statement that fails.
    pub(super) gives_sessions: OnceCell<()>,
}

struct State<C> {
    /// How many connections there may be: fewer than `most` after the server refused one.
    budget: usize,
    most: usize,
    /// When the budget was changed.
    changed_at: BootTime,
    /// What has too few connections, until when.
    tight: HashMap<Scarce, BootTime>,
    /// How many connections are in use or being opened.
    in_use: usize,
    /// The idle connections, longest idle first. They hold no `Arc` of their server, so it can be dropped.
    idle: Vec<Idle<C>>,
}

/// An idle connection.
pub(super) struct Idle<C> {
    /// The number of its database in this process.
    pub(super) database: u64,
    pub(super) role: Arc<str>,
    pub(super) since: BootTime,
    pub(super) connection: Live<C>,
}

/// Whose connections a server has run out of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scarce {
    /// All of the server's.
    Server,
    /// Those of a role, which may have a limit of its own.
    Role(Arc<str>),
    /// Those of a database, by its number in this process.
    Database(u64),
}

impl Scarce {
    fn includes<C>(&self, idle: &Idle<C>) -> bool {
        match self {
            Scarce::Server => true,
            Scarce::Role(role) => idle.role == *role,
            Scarce::Database(database) => idle.database == *database,
        }
    }
}

/// A connection. Dropping it interrupts its statement (see `Open::watch`).
pub(super) struct Live<C> {
    pub(super) connection: C,
    #[expect(dead_code, reason = "dropping it interrupts the statement")]
    pub(super) alive: Arc<()>,
}

/// One unit of a server's budget, in use; dropping it gives the unit back.
pub(super) struct Permit<C>(Arc<Server<C>>);

impl<C> Permit<C> {
    fn take(server: &Arc<Server<C>>, state: &mut State<C>) -> Permit<C> {
        state.in_use += 1;
        Permit(server.clone())
    }

    /// Checks the connection in and wakes a waiter. It counts as idle from now on, or from `since`.
    pub(super) fn check_in(
        self,
        (database, role): (u64, Arc<str>),
        connection: Live<C>,
        since: Option<BootTime>,
        is_limited: bool,
    ) where
        C: Send + 'static,
    {
        let now = self.0.clock.boot_time();
        let idle = Idle { database, role, since: since.unwrap_or(now), connection };
        let mut state = self.0.state();
        let is_tight = state.tight.iter().any(|(what, until)| now < *until && what.includes(&idle));
        if !is_tight && state.in_use + state.idle.len() <= state.budget {
            state.idle.push(idle);
        }
        drop(state); // before a connection that is not kept is closed
        if is_limited {
            let server = self.0.clone();
            tokio::spawn(async move {
                server.clock.sleep(LIMITED_IDLE).await;
                let now = server.clock.boot_time();
                server.close(|idle| idle.database == database && now - idle.since >= LIMITED_IDLE);
            });
        }
    }
}

impl<C> Drop for Permit<C> {
    fn drop(&mut self) {
        self.0.state().in_use -= 1;
        self.0.freed.notify_one();
    }
}

/// What a server gives out: an idle connection, or a permit to open a new one.
pub(super) enum CheckedOut<C> {
    Idle(Idle<C>, Permit<C>),
    Permit(Permit<C>),
}

impl<C> Server<C> {
    pub(super) fn new(address: &str, clock: Clock, budget: usize) -> Server<C> {
        let state = Mutex::new(State {
            budget,
            most: budget,
            changed_at: BootTime::ZERO,
            tight: HashMap::new(),
            in_use: 0,
            idle: Vec::new(),
        });
        Server {
            address: address.to_owned(),
            clock,
            state,
            freed: Notify::new(),
            gives_sessions: OnceCell::new(),
        }
    }

    /// An idle connection that `will_do` accepts, or else a permit for a new one. If the budget is used up,
    /// the longest idle connection is closed to free a permit. Waits until one of them is available.
    pub(super) async fn check_out(
        self: &Arc<Self>,
        will_do: impl Fn(&Idle<C>) -> bool,
    ) -> CheckedOut<C> {
        loop {
            // Listen before checking, so that a connection freed in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(checked_out) = self.try_check_out(&will_do) {
                return checked_out;
            }
            freed.await;
        }
    }

    fn try_check_out(
        self: &Arc<Self>,
        will_do: impl Fn(&Idle<C>) -> bool,
    ) -> Option<CheckedOut<C>> {
        let mut state = self.state();
        if let Some(at) = state.idle.iter().rposition(will_do) {
            let idle = state.idle.remove(at);
            return Some(CheckedOut::Idle(idle, Permit::take(self, &mut state)));
        }
        if state.in_use + state.idle.len() < state.budget {
            return Some(CheckedOut::Permit(Permit::take(self, &mut state)));
        }
        let evicted = (!state.idle.is_empty()).then(|| state.idle.remove(0))?;
        let permit = Permit::take(self, &mut state);
        drop(state);
        drop(evicted); // after unlocking: closing it must not delay other callers
        Some(CheckedOut::Permit(permit))
    }

    /// How many connections there are, and how many of those are idle.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.in_use + state.idle.len(), state.idle.len())
    }

    /// Closes the idle connections that `selects` returns true for.
    pub(super) fn close(&self, selects: impl Fn(&Idle<C>) -> bool) {
        let mut state = self.state();
        let closed: Vec<Idle<C>> = state.idle.extract_if(.., |idle| selects(idle)).collect();
        drop(state);
        for idle in closed {
            drop(idle); // after unlocking: closing it must not delay other callers
            self.freed.notify_one();
        }
    }

    /// Closes the connections that have been idle for [`IDLE_LIMIT`], and lets a reduced budget grow.
    pub(super) fn close_idle(&self) {
        let now = self.clock.boot_time();
        self.close(|idle| now - idle.since >= IDLE_LIMIT);
        let mut state = self.state();
        state.tight.retain(|_, until| now < *until);
        if state.budget < state.most && now - state.changed_at >= GROWS_AFTER {
            state.budget += 1;
            state.changed_at = now;
            drop(state);
            self.freed.notify_one();
        }
    }

    /// Takes no more than this process's share of the connections that the server has.
    pub(super) fn share(&self, of: usize) {
        let mut state = self.state();
        state.most = state.most.min(share(of));
        state.budget = state.budget.min(state.most);
    }

    /// The server refused the connection that the caller has been opening. Closes the idle ones that others
    /// could use, and keeps none for a while. If the server has none left, the budget is halved.
    pub(super) fn refused(&self, what: Scarce) {
        let now = self.clock.boot_time();
        let mut state = self.state();
        if what == Scarce::Server {
            let open = state.in_use.saturating_sub(1) + state.idle.len();
            state.budget = state.budget.min((open / 2).max(1));
            state.changed_at = now;
        }
        state.tight.insert(what.clone(), now + TIGHT_FOR);
        drop(state);
        self.close(|idle| what.includes(idle));
    }

    /// A poisoned lock is ignored: no holder leaves the data inconsistent.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn live() -> Live<()> {
        Live { connection: (), alive: Arc::new(()) }
    }

    fn check_out(server: &Arc<Server<()>>, database: u64) -> Option<Permit<()>> {
        match server.try_check_out(|idle| idle.database == database)? {
            CheckedOut::Idle(_, permit) | CheckedOut::Permit(permit) => Some(permit),
        }
    }

    fn open(server: &Arc<Server<()>>, databases: std::ops::Range<u64>) {
        let permits: Vec<_> = databases.map(|one| (one, check_out(server, one).unwrap())).collect();
        for (database, permit) in permits {
            permit.check_in((database, format!("role {database}").into()), live(), None, false);
        }
    }

    #[test]
    fn a_refusal_closes_what_is_idle_and_halves_the_budget_which_grows_again() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let server = Arc::new(Server::new("db", Clock::Manual(manual.clone()), 8));
        open(&server, 0..7);
        assert_eq!(server.count(), (7, 7));
        let refused = check_out(&server, 7).unwrap();
        server.refused(Scarce::Server);
        drop(refused);
        assert_eq!(server.count(), (0, 0), "others can use them now");
        let in_use: Vec<_> = (0..3).map(|one| check_out(&server, one).unwrap()).collect();
        assert!(check_out(&server, 3).is_none(), "half of the seven that there were");
        for permit in in_use {
            permit.check_in((0, "".into()), live(), None, false);
        }
        assert_eq!(server.count(), (0, 0), "none is kept for a while");
        for _ in 0..9 {
            manual.advance(GROWS_AFTER);
            server.close_idle();
        }
        open(&server, 0..8);
        assert_eq!(server.count(), (8, 8), "as at first");
    }

    #[test]
    fn a_role_without_connections_left_costs_the_others_nothing() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let server = Arc::new(Server::new("db", Clock::Manual(manual), 8));
        open(&server, 0..7);
        server.refused(Scarce::Role("role 3".into()));
        assert_eq!(server.count(), (6, 6));
        open(&server, 3..4);
        assert_eq!(server.count(), (6, 6), "its connections are not kept");
        open(&server, 7..9);
        assert_eq!(server.count(), (8, 8));
    }

    #[test]
    fn six_processes_leave_half_of_a_servers_connections() {
        assert_eq!([97, 397, 22, 3].map(share), [8, 33, 2, 2]);
    }
}
