//! What the stores of one process share: the connection pool, and the change statistics of each server.

use super::changes::Changes;
use super::pool::{ConnectionCounts, Pool};
use super::session::Planning;
use crate::clock::Clock;

/// The maximum number of connections to one server, if none is set.
pub const CONNECTIONS_MAX: usize = 20;

/// All connections of one process. Clones share them.
#[derive(Clone)]
pub struct Connections {
    pool: Pool,
    changes: Changes,
}

impl Connections {
    /// At most `per_server` connections to each database server, and to all SQLite files together.
    pub fn new(clock: Clock, per_server: usize) -> Connections {
        Connections { pool: Pool::new(clock, per_server), changes: Changes::default() }
    }

    /// As configured: at most so many, or, if no number is set, [`CONNECTIONS_MAX`], and no more than a
    /// twelfth of what a PostgreSQL server gives to ordinary roles.
    pub fn within(clock: Clock, per_server: Option<usize>) -> Connections {
        match per_server {
            Some(number) => Connections::new(clock, number),
            None => {
                let pool = Pool::new(clock, CONNECTIONS_MAX).sharing();
                Connections { pool, changes: Changes::default() }
            }
        }
    }

    /// Sets how PostgreSQL plans the statements. Call it before anything else.
    pub fn planned(self, planning: Planning) -> Connections {
        Connections { pool: self.pool.planned(planning), ..self }
    }

    /// Adds a gate that every statement passes. Call it before anything else.
    #[cfg(feature = "faults")]
    pub fn behind(self, gate: super::gate::Gate) -> Connections {
        Connections { pool: self.pool.behind(gate), ..self }
    }

    /// The clock that measures idle times.
    pub fn clock(&self) -> &Clock {
        self.pool.clock()
    }

    /// Closes connections that have been idle for too long. Call it every few seconds.
    pub fn close_idle(&self) {
        self.pool.close_idle();
    }

    /// How many connections there are.
    pub fn count(&self) -> ConnectionCounts {
        self.pool.count()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }
}
