//! Limits for a connection to an untrusted SQLite file. They are set here because sqlx lacks these settings,
//! so setting them is unsafe code.
#![allow(unsafe_code, reason = "wraps a connection of sqlx for settings that sqlx lacks")]

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use sqlx::sqlite::LockedSqliteHandle;

/// Limits of what a file's rows, triggers and views can make SQLite do with memory. A statement that
/// exceeds one fails.
const LIMITS: [(Limit, i32); 7] = [
    // The largest row, value and parameter, in bytes.
    (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
    // A statement with all its triggers, in instructions of 24 bytes.
    (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Bounds what a file can do to this process: limits, no writes to the schema's own table, and no
/// functions with side effects in triggers and views.
///
/// # Errors
/// If this SQLite lacks one of them.
pub fn bound_sqlite(handle: &mut LockedSqliteHandle<'_>) -> rusqlite::Result<()> {
    // SAFETY: sqlx links the same SQLite, and keeps the connection open and to itself as long as
    // `handle` is borrowed, which outlives `connection`. That one does not own it: its drop neither
    // closes it nor changes a hook.
    let connection = unsafe { Connection::from_handle(handle.as_raw_handle().as_ptr().cast()) }?;
    for (limit, most) in LIMITS {
        connection.set_limit(limit, most)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
    Ok(())
}
