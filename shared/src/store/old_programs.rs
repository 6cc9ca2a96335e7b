//! Programs that were built before our tables were prefixed, and that run still: the rename is the one
//! change that they do not survive.

use std::fmt;

use chrono::TimeDelta;
use sqlx::{FromRow, query_as};

use super::control::Control;
use super::db::run_on_either;
use super::error::Result;
use super::schema::BASELINE;
use super::sql::Sql;

/// How long after its last sign of life a program may be running still: several times as long as it
/// takes to renew its row.
const LASTS: TimeDelta = TimeDelta::seconds(60);

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

/// A consumer or producer.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OldProgram {
    /// Which of the two.
    pub kind: String,
    /// Where it runs.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
}

impl fmt::Display for OldProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}", self.kind, self.pid, self.host)
    }
}

impl Control {
    /// The programs that migrating this database from schema `version` would break.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn old_programs(&self, version: i64) -> Result<Vec<OldProgram>> {
        let mut found: Vec<OldProgram> = Vec::new();
        // Each table with the version that made it.
        for (statement, since) in [(WORKERS, 1), (PRODUCERS, 3)] {
            if (since..BASELINE).contains(&version) {
                let seen_since = self.now().await? - LASTS;
                found.extend(run_on_either!(&self.db, statement, |text, connection| {
                    query_as::<_, OldProgram>(text).bind(seen_since).fetch_all(connection)
                })?);
            }
        }
        Ok(found)
    }
}
