//! Detects which databases of a PostgreSQL server have changed, without connecting to each of them.
//!
//! A new connection costs the server a hundred times as much as the poll that it is for. The server's
//! statistics (`pg_stat_database`) count the rows written in every database, and can be read from any of
//! them. A session reports its changes when it is idle, after one second and at most ten
//! (`pgstat_report_stat` in PostgreSQL's source; before version 15 only with its next statement, if it
//! executed two within half a second). Callers must still poll from time to time, because statistics may
//! be lost or disabled for single databases, and do not cover everything that a poll depends on.

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

/// The changes that a database counts. If two counts are equal, nothing was written between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    identity: DatabaseIdentity,
    rows: i64,
    /// When the statistics were last reset.
    since: Option<Time>,
}

/// The last reading of one server's statistics. It stays locked while a new reading is taken, so
/// concurrent callers use the same one.
#[derive(Default)]
struct ServerChanges(Mutex<Option<Reading>>);

/// The statistics of each PostgreSQL server, by its address. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<std::sync::Mutex<HashMap<String, Arc<ServerChanges>>>>);

struct Reading {
    taken: BootTime,
    /// None if the reading failed; empty if the server keeps no statistics.
    counts: Option<HashMap<DatabaseIdentity, Count>>,
}

impl Reading {
    /// Whether it is recent and covers this database. A failed reading counts as covering it.
    fn serves(&self, identity: &DatabaseIdentity, now: BootTime) -> bool {
        let covers = self.counts.as_ref().is_none_or(|counts| counts.contains_key(identity));
        covers && now - self.taken < READING_LASTS
    }
}

impl Changes {
    /// The count of a database. None if the server keeps no statistics or reading them failed.
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
            // If this fails, so does the poll that follows, which reports the error.
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
