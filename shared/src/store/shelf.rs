//! One database server: how many connections it may have, and the shelf on which the idle ones lie.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};

use super::changes::Changes;
use crate::clock::{BootTime, Clock};

/// How long a connection may stay idle.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// The budget of one database server, and the idle connections to any database on it.
pub(super) struct Server<C> {
    /// Where it is.
    pub(super) place: String,
    pub(super) clock: Clock,
    budget: usize,
    shelf: Mutex<Shelf<C>>,
    /// Told whenever a connection was closed or laid on the shelf.
    freed: Notify,
    /// Set once the server has given two connections a session each. A pooler that comes between
    /// later is told by the first prepared statement that fails.
    pub(super) gives_sessions: OnceCell<()>,
    pub(super) changes: Changes,
}

struct Shelf<C> {
    /// How many connections somebody uses or opens.
    in_use: usize,
    /// Those that nobody uses, the longest idle first. They know nothing of their server, so that it
    /// ends, and they with it, when nobody can ask for them any more.
    idle: Vec<Idle<C>>,
}

/// A connection that nobody uses.
pub(super) struct Idle<C> {
    /// To which of this process's databases.
    pub(super) database: u64,
    pub(super) since: BootTime,
    pub(super) connection: C,
}

/// One unit of a server's budget, in use; dropping it gives the unit back.
pub(super) struct Place<C>(Arc<Server<C>>);

impl<C> Place<C> {
    fn take(server: &Arc<Server<C>>, shelf: &mut Shelf<C>) -> Place<C> {
        shelf.in_use += 1;
        Place(server.clone())
    }

    /// Lays the connection that was used here on the shelf, and tells whoever waits. It is idle from
    /// now on, or has been `since`.
    pub(super) fn lay_down(self, database: u64, connection: C, since: Option<BootTime>) {
        let since = since.unwrap_or_else(|| self.0.clock.boot_time());
        self.0.shelf().idle.push(Idle { database, since, connection });
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        self.0.shelf().in_use -= 1;
        self.0.freed.notify_one();
    }
}

/// What a server can offer to somebody who wants a connection.
pub(super) enum Offer<C> {
    Idle(Idle<C>, Place<C>),
    Place(Place<C>),
}

impl<C> Server<C> {
    pub(super) fn new(place: &str, clock: Clock, budget: usize) -> Server<C> {
        let shelf = Mutex::new(Shelf { in_use: 0, idle: Vec::new() });
        Server {
            place: place.to_owned(),
            clock,
            budget,
            shelf,
            freed: Notify::new(),
            gives_sessions: OnceCell::new(),
            changes: Changes::default(),
        }
    }

    /// An idle connection that will do, else room for a new one, else the room of the longest idle
    /// connection; waits until there is one of them.
    pub(super) async fn offer(self: &Arc<Self>, will_do: impl Fn(&Idle<C>) -> bool) -> Offer<C> {
        loop {
            // Listening begins before looking, so that nothing freed in between is missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(offer) = self.offer_now(&will_do) {
                return offer;
            }
            freed.await;
        }
    }

    fn offer_now(self: &Arc<Self>, will_do: impl Fn(&Idle<C>) -> bool) -> Option<Offer<C>> {
        let mut shelf = self.shelf();
        if let Some(at) = shelf.idle.iter().rposition(will_do) {
            let idle = shelf.idle.remove(at);
            return Some(Offer::Idle(idle, Place::take(self, &mut shelf)));
        }
        if shelf.in_use + shelf.idle.len() < self.budget {
            return Some(Offer::Place(Place::take(self, &mut shelf)));
        }
        let evicted = (!shelf.idle.is_empty()).then(|| shelf.idle.remove(0))?;
        let place = Place::take(self, &mut shelf);
        drop(shelf);
        drop(evicted); // closing it must not hold the others up
        Some(Offer::Place(place))
    }

    /// How many connections there are, and how many of those are idle.
    pub(super) fn count(&self) -> (usize, usize) {
        let shelf = self.shelf();
        (shelf.in_use + shelf.idle.len(), shelf.idle.len())
    }

    /// Closes those idle connections that `is_enough` says of.
    pub(super) fn close(&self, is_enough: impl Fn(&Idle<C>) -> bool) {
        let mut shelf = self.shelf();
        let closed: Vec<Idle<C>> = shelf.idle.extract_if(.., |idle| is_enough(idle)).collect();
        drop(shelf);
        for idle in closed {
            drop(idle); // outside the lock: closing it must not hold the others up
            self.freed.notify_one();
        }
    }

    /// Closes those that have been idle for long.
    pub(super) fn close_idle(&self) {
        let now = self.clock.boot_time();
        self.close(|idle| now - idle.since >= IDLE_LIMIT);
    }
    /// It is sound whatever its last holder did.
    fn shelf(&self) -> MutexGuard<'_, Shelf<C>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
