//! Which databases of a PostgreSQL server have changed, told without connecting to each.
//!
//! A fresh connection costs a server a hundred times what is asked through it; but its statistics
//! (`pg_stat_database` in the manual) count the rows written in every database, and can be read in
//! any of them. A session reports to them when it has nothing to do: a second after its change, ten
//! at most (`pgstat_report_stat` in PostgreSQL's source; before version 15 only with its next
//! statement, if it did two within half a second). Whoever relies on them looks for itself now and
//! then all the same: they may be lost, kept from single databases, or silent on what else matters.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::db::limited;
use super::error::Result;
use super::pool::Database;
use super::server_clock::DatabaseIdentity;
use super::sql;
use crate::clock::{BootTime, Clock, Time};

/// How long one reading serves all of the server's databases.
const READING_LASTS: Duration = Duration::from_secs(2);

/// How often a database was changed. Two that are equal: nothing was written in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    identity: DatabaseIdentity,
    rows: i64,
    /// Since when they are counted.
    since: Option<Time>,
}

/// The last reading of one server's statistics. Locked while it is taken, so that concurrent callers
/// share one reading.
#[derive(Default)]
struct ServerChanges(Mutex<Option<Reading>>);

/// The statistics of each PostgreSQL server, by its address. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<std::sync::Mutex<HashMap<String, Arc<ServerChanges>>>>);

struct Reading {
    taken: BootTime,
    /// None: it failed. Empty: nothing is counted.
    counts: Option<HashMap<DatabaseIdentity, Count>>,
}

impl Reading {
    /// Whether it can be used for a database: it is recent, and knows the database.
    fn serves(&self, identity: &DatabaseIdentity, now: BootTime) -> bool {
        let knows = self.counts.as_ref().is_none_or(|counts| counts.contains_key(identity));
        knows && now - self.taken < READING_LASTS
    }
}

impl Changes {
    /// The count for a database. None: the server does not count, or could not be read.
    pub(super) async fn count(
        &self,
        identity: DatabaseIdentity,
        database: &Database<PgConnection>,
        clock: &Clock,
    ) -> Option<Count> {
        let server = {
            let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            servers.entry(database.server().to_owned()).or_default().clone()
        };
        let mut last = server.0.lock().await;
        if !last.as_ref().is_some_and(|reading| reading.serves(&identity, clock.boot_time())) {
            // A failure is reported by the poll that follows.
            let counts = read(database).await.ok();
            *last = Some(Reading { taken: clock.boot_time(), counts });
        }
        last.as_ref()?.counts.as_ref()?.get(&identity).cloned()
    }
}

async fn read(database: &Database<PgConnection>) -> Result<HashMap<DatabaseIdentity, Count>> {
    let mut held = database.acquire_any().await?;
    let counting = sqlx::query_as(sql::COUNT_CHANGES.postgres).fetch_all(&mut *held);
    let counted: Vec<(Time, i64, i64, Option<Time>)> = limited(counting).await?;
    held.keep();
    let counts = counted.into_iter().map(|(started_at, database, rows, since)| {
        let identity = DatabaseIdentity { started_at, database };
        (identity, Count { identity, rows, since })
    });
    Ok(counts.collect())
}
