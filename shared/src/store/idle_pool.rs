//! One database server: its connection budget, and the pool of its idle connections.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};

use crate::clock::{BootTime, Clock};

/// How long a connection may stay idle.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// The budget of one database server, and the idle connections to any database on it.
pub(super) struct Server<C> {
    /// Host and port, or the path of its socket.
    pub(super) address: String,
    pub(super) clock: Clock,
    budget: usize,
    state: Mutex<State<C>>,
    /// Notified whenever a connection was closed or checked in.
    freed: Notify,
    /// Set once two connections to the server have had a session each. A pooler that is inserted later is
    /// detected by the first prepared statement that fails.
    pub(super) gives_sessions: OnceCell<()>,
}

struct State<C> {
    /// How many connections are in use or being opened.
    in_use: usize,
    /// The idle connections, longest idle first. They hold no `Arc` of their server, so it can be dropped.
    idle: Vec<Idle<C>>,
}

/// An idle connection.
pub(super) struct Idle<C> {
    /// The number of its database in this process.
    pub(super) database: u64,
    pub(super) since: BootTime,
    pub(super) connection: Live<C>,
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
    pub(super) fn check_in(self, database: u64, connection: Live<C>, since: Option<BootTime>) {
        let since = since.unwrap_or_else(|| self.0.clock.boot_time());
        self.0.state().idle.push(Idle { database, since, connection });
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
        let state = Mutex::new(State { in_use: 0, idle: Vec::new() });
        Server {
            address: address.to_owned(),
            clock,
            budget,
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
        if state.in_use + state.idle.len() < self.budget {
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

    /// Closes the connections that have been idle for [`IDLE_LIMIT`].
    pub(super) fn close_idle(&self) {
        let now = self.clock.boot_time();
        self.close(|idle| now - idle.since >= IDLE_LIMIT);
    }

    /// A poisoned lock is ignored: no holder leaves the data inconsistent.
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
