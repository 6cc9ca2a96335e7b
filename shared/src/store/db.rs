//! One database, PostgreSQL or SQLite, and how statements run on it.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::caught::caught;
use super::error::{Result, StoreError};
use super::pool::{Database, Pool};
use super::read_limits::ReadLimits;
use super::session::{Planning, SearchPath};
use crate::database_url::DatabaseUrl;

/// The client-side timeout of a statement. The server aborts statements after 5 s; this one is for
/// connections that no longer respond.
const STATEMENT_LIMIT: Duration = Duration::from_secs(7);
/// The maximum number of connections to one PostgreSQL database that a process uses at a time.
const POSTGRES_AT_ONCE: usize = 4;
/// SQLite has one writer at a time, so a second connection would only wait.
const SQLITE_AT_ONCE: usize = 1;
/// How long SQLite waits for writers in other processes.
const SQLITE_BUSY_LIMIT: Duration = Duration::from_secs(5);

/// A database of either kind.
pub(super) enum Db {
    Postgres(Database<PgConnection>),
    Sqlite(Database<SqliteConnection>),
}

impl Db {
    /// Connects to nothing yet. `path` tells where our tables are in PostgreSQL.
    pub(super) fn new(url: &DatabaseUrl, path: SearchPath, pool: &Pool) -> Result<Db> {
        Ok(match Options::of(url)? {
            Options::Postgres(options) => {
                Db::Postgres(pool.postgres(*options, path, POSTGRES_AT_ONCE))
            }
            Options::Sqlite(options) => Db::Sqlite(pool.sqlite(*options, SQLITE_AT_ONCE)),
        })
    }
}

/// The options for connecting to a database.
pub(super) enum Options {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Options {
    pub(super) fn of(url: &DatabaseUrl) -> Result<Options> {
        if url.is_sqlite() {
            let options = SqliteConnectOptions::from_str(url.expose())?
                .journal_mode(SqliteJournalMode::Wal)
                // A result that was reported as recorded must survive a power failure.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(SQLITE_BUSY_LIMIT)
                .pragma("trusted_schema", "OFF")
                // A tenant's file may request a cache of any size, or be corrupted on purpose.
                .pragma("cache_size", "-2000")
                .pragma("cell_size_check", "ON")
                .pragma("mmap_size", "0")
                .disable_statement_logging();
            return Ok(Options::Sqlite(Box::new(options)));
        }
        let options = url
            .postgres_options()?
            .application_name("polychron")
            // Poolers reject this start-up parameter, and we read no floats as text.
            .extra_float_digits(None)
            .disable_statement_logging();
        Ok(Options::Postgres(Box::new(ReadLimits::of(Planning::Free).apply(options))))
    }
}

/// Awaits a database's answer, with a timeout. A panic while decoding it becomes an error.
pub(super) async fn limited<T>(statement: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    let slow = |_| StoreError::Slow(STATEMENT_LIMIT.as_secs());
    timeout(STATEMENT_LIMIT, caught(statement)).await.map_err(slow)?
}

/// The maximum number of tries of a statement that conflicts with another (deadlock, serialisation), or whose
/// session has lost its state.
pub(super) const TRIES: usize = 4;

/// A statement is not retried after this time. Otherwise a permanently locked file, or a server that
/// answers just before the timeout, would hold the caller for several timeouts.
pub(super) const TRY_WITHIN: Duration = Duration::from_secs(2);

/// Runs a statement on a connection of one kind of database.
macro_rules! run {
    ($database:expr, |$connection:ident| $statement:expr) => {{
        let database = $database;
        #[cfg(feature = "faults")]
        let under_way = database.enter(std::any::type_name_of_val(&|| ())).await?;
        let (mut tries, began) = (0, database.boot_time());
        let answer = loop {
            let mut held = match database.acquire().await {
                Ok(held) => held,
                Err(error) => break Err(error),
            };
            let $connection = &mut *held;
            match crate::store::db::limited($statement).await {
                Ok(answer) => {
                    held.keep();
                    break Ok(answer);
                }
                Err(error) => {
                    if error.spares_connection() {
                        held.keep();
                    } else if error.spoils_idle_connections() {
                        database.close_idle();
                    }
                    tries += 1;
                    if tries == crate::store::db::TRIES
                        || database.boot_time() - began > crate::store::db::TRY_WITHIN
                        || !error.is_worth_repeating()
                    {
                        break Err(error.after_last_try());
                    }
                }
            }
        };
        #[cfg(feature = "faults")]
        let answer = under_way.leave(answer).await;
        answer
    }};
}

/// Runs a statement that is written the same way for both kinds of database.
macro_rules! run_on_either {
    ($db:expr, $sql:expr, |$text:ident, $connection:ident| $statement:expr) => {
        match $db {
            crate::store::db::Db::Postgres(database) => {
                let $text = $sql.postgres;
                crate::store::db::run!(database, |$connection| $statement)
            }
            crate::store::db::Db::Sqlite(database) => {
                let $text = $sql.sqlite;
                crate::store::db::run!(database, |$connection| $statement)
            }
        }
    };
}

pub(super) use {run, run_on_either};

/// Begins an SQLite transaction that takes the write lock at once. One that reads first and then writes
/// would fail if another connection wrote in between.
pub(super) async fn begin_immediate(
    connection: &mut SqliteConnection,
) -> sqlx::Result<sqlx::Transaction<'_, sqlx::Sqlite>> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// One column of a batch, to bind as an array in PostgreSQL.
pub(super) fn column<R, T>(rows: &[R], of: impl FnMut(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// A batch of ids or names, to bind as JSON in SQLite.
pub(super) fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}
