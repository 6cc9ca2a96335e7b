//! Sequences that lag behind their tables. Logical replication and restores of single tables copy rows, but
//! not the sequences that number them.

use sqlx::{query, query_as};

use super::control::Control;
use super::db::{Db, run};
use super::error::{Result, StoreError};
use super::sql::Sql;
use super::{Store, sql};

/// A sequence that lags behind its table.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LaggingIds {
    /// The sequence.
    pub name: String,
    /// The highest id in the table.
    pub highest: i64,
}

/// Raises the sequence if an insert failed because its id is taken. True: insert again.
pub(super) async fn raised(db: &Db, raise: Sql, error: Option<&StoreError>) -> bool {
    // It fails if the role lacks the right.
    error.is_some_and(is_taken_id) && try_raise(db, raise).await.is_ok()
}

async fn try_raise(db: &Db, raise: Sql) -> Result<()> {
    let Db::Postgres(database) = db else { return Ok(()) };
    run!(database, |connection| async { query(raise.postgres).execute(connection).await.map(drop) })
}

/// Whether a row's id is taken. The primary keys' names end alike.
fn is_taken_id(error: &StoreError) -> bool {
    let StoreError::Refused(error) = error else { return false };
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("23505")
            && error.constraint().is_some_and(|name| name.ends_with("_pkey"))
    })
}

/// A role that runs jobs need not have rights on a sequence.
fn readable(found: Result<Option<LaggingIds>>) -> Result<Option<LaggingIds>> {
    match found {
        Err(StoreError::Denied(_)) => Ok(None),
        found => found,
    }
}

async fn lagging(db: &Db, find: Sql) -> Result<Option<LaggingIds>> {
    match db {
        Db::Postgres(database) => {
            run!(database, |connection| query_as(find.postgres).fetch_optional(connection))
        }
        Db::Sqlite(_) => Ok(None),
    }
}

impl Store {
    /// The sequence of the jobs' ids, if it lags behind: applications' inserts would fail. None, too, if the
    /// role may not read it.
    pub async fn find_lagging_ids(&self) -> Result<Option<LaggingIds>> {
        readable(lagging(self.db.proved().await?, sql::FIND_LAGGING_JOB_IDS).await)
    }
}

impl Control {
    /// The sequence of the audit's ids, if it lags behind. None, too, if the role may not read it.
    pub async fn find_lagging_ids(&self) -> Result<Option<LaggingIds>> {
        readable(lagging(&self.db, sql::FIND_LAGGING_AUDIT_IDS).await)
    }
}
