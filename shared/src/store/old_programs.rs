//! Finds running programs that were built before our tables had a prefix. Renaming the tables is the only
//! migration that breaks older programs.

use std::fmt;

use chrono::TimeDelta;
use sqlx::{FromRow, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::error::Result;
use super::schema::BASELINE;
use super::sql::Sql;

/// A program that has not renewed its row for this long is dead; several times the renewal interval.
const DEAD_AFTER: TimeDelta = TimeDelta::seconds(60);

const WORKERS: Sql = Sql {
    name: "old_workers",
    postgres: include_str!("../../../migrations/control/old_workers.sql"),
    sqlite: include_str!("../../../migrations/control/old_workers.sql"),
};
const PRODUCERS: Sql = Sql {
    name: "old_producers",
    postgres: include_str!("../../../migrations/control/old_producers.sql"),
    sqlite: include_str!("../../../migrations/control/old_producers.sql"),
};

/// A running consumer or producer.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OldProgram {
    /// `consumer` or `producer`.
    pub kind: String,
    /// The host it runs on.
    pub host: String,
    /// Its process id on that host.
    pub pid: i32,
}

impl fmt::Display for OldProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}", self.kind, self.pid, self.host)
    }
}

impl Control {
    /// The programs that a migration of this database from schema `version` would break.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn old_programs(&self, version: i64) -> Result<Vec<OldProgram>> {
        let mut found: Vec<OldProgram> = Vec::new();
        // Each table with the schema version that created it.
        for (statement, since) in [(WORKERS, 1), (PRODUCERS, 3)] {
            if (since..BASELINE).contains(&version) {
                let seen_since = self.now().await? - DEAD_AFTER;
                found.extend(run_on_either!(&self.db, statement, |text, connection| {
                    query_as::<_, OldProgram>(text).bind(seen_since).fetch_all(connection)
                })?);
            }
        }
        Ok(found)
    }
}
