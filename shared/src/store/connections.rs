//! What the stores of one process share: the pool of their connections, and what is known of changes to
//! the databases of each server.

use super::changes::Changes;
use super::pool::{ConnectionCounts, Pool};
use super::session::Planning;
use crate::clock::Clock;

/// All connections of one process. Clones share them.
#[derive(Clone)]
pub struct Connections {
    pool: Pool,
    changes: Changes,
}

impl Connections {
    /// At most `per_server` connections at once to each database server, and as many open SQLite
    /// files.
    pub fn new(clock: Clock, per_server: usize) -> Connections {
        Connections { pool: Pool::new(clock, per_server), changes: Changes::default() }
    }

    /// The same, with statements that are planned so. To be called before anything else.
    pub fn planned(self, planning: Planning) -> Connections {
        Connections { pool: self.pool.planned(planning), ..self }
    }

    /// The same, with a gate that every statement passes. To be called before anything else.
    #[cfg(feature = "faults")]
    pub fn behind(self, gate: super::gate::Gate) -> Connections {
        Connections { pool: self.pool.behind(gate), ..self }
    }

    /// The clock by which idle times are measured.
    pub fn clock(&self) -> &Clock {
        self.pool.clock()
    }

    /// Closes what has been idle for long. To be called every few seconds.
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
