//! The errors of a database, in the cases that callers distinguish.

use super::place::Place;
use crate::database_url::InvalidUrl;
use crate::id::TenantId;

/// Why an operation of a store failed. The text contains no URL, no password and no row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is unreachable, closed the connection, or accepts no more connections.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The statement timed out. It may or may not have been carried out.
    #[error("the database did not answer within {0} s")]
    Slow(u64),
    /// The server sent more than the read limits allow. The connection is closed.
    #[error("the database sends too much")]
    TooLarge(#[source] sqlx::Error),
    /// This process's connection budget for the server is exhausted.
    #[error("no connection to the database server became free within {0} s")]
    Busy(u64),
    /// The user or password is wrong, or the role lacks a privilege.
    #[error("the database refuses access; correct the tenant's database_url or its role's rights")]
    Denied(#[source] sqlx::Error),
    /// The session has lost its prepared statements, or one of their plans no longer fits the tables. The
    /// statement was not executed; in a new session it may succeed.
    #[error("the session can no longer be used: {}", message(.0))]
    StaleSession(#[source] sqlx::Error),
    /// A connection pooler gives one session to several clients.
    #[error(
        "the connection pooler before the database works in transaction mode, where sessions are \
         shared and their settings lost: set `pool_mode = session` there"
    )]
    Pooled,
    /// The schema is older than this program needs.
    #[error("the schema is at version {found}, {expected} is needed: run `polychron migrate`")]
    Schema {
        /// The version of the database's schema; 0 if it has none.
        found: i64,
        /// The version that this program was built with.
        expected: i64,
    },
    /// The schema requires a newer program.
    #[error(
        "this program is too old for this database: it knows schema version {built_with}, \
         {minimum} is needed: install a newer one"
    )]
    TooOld {
        /// The schema version that this program was built with.
        built_with: i64,
        /// The lowest version that the database accepts.
        minimum: i64,
    },
    /// The tenant's `database_url` cannot be used. The text names the remedy.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A table is missing although the database records that it was created.
    #[error("tables of ours are missing: {}", message(.0))]
    MissingTable(#[source] sqlx::Error),
    /// Our tables or views cannot be created. The text names the remedy.
    #[error("{0}")]
    Setup(String),
    /// The control database does not lie where it did.
    #[error(
        "the control database was at {before} and is at {now}: if it was moved, and the one before is in use \
         nowhere, run `polychron installation moved`; if it is a copy, run `polychron installation new`, which \
         suspends its tenants"
    )]
    Elsewhere {
        /// Where it was.
        before: Place,
        /// Where it is.
        now: Place,
    },
    /// The database contains no tenant's id.
    #[error("the database belongs to no tenant yet: enter it with `polychron tenant add`")]
    Unowned,
    /// The database contains another tenant's id.
    #[error(
        "the database belongs to tenant {0}: the URL is wrong, or this is a copy; \
         `polychron tenant add --adopt` takes it over on purpose"
    )]
    Owned(TenantId),
    /// The database rejected the data, for example because of a constraint.
    #[error("the database refused the data: {}", message(.0))]
    Refused(#[source] sqlx::Error),
    /// A deadlock or a serialisation failure; the same statement may succeed when repeated.
    #[error("the statement collided with another")]
    Conflict(#[source] sqlx::Error),
    /// Any other error.
    #[error("the database failed: {}", message(.0))]
    Failed(#[source] sqlx::Error),
}

/// The result of a database operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a server has no connection left.
pub(super) enum Refusal {
    /// All are in use.
    Server,
    /// The role has a limit of its own.
    Role,
    /// The database has.
    Database,
}

impl StoreError {
    /// Whether the server refused a connection because it has none left, and why.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let StoreError::Unreachable(error) = self else { return None };
        if code(error).as_deref() != Some("53300") {
            return None;
        }
        // One tenant's limit must not cost the others. The text is translated, the routine's name is not.
        Some(match routine(error) {
            Some("InitializeSessionUserId") => Refusal::Role,
            Some("CheckMyDatabase") => Refusal::Database,
            _ => Refusal::Server,
        })
    }

    /// Whether the connection that returned this error can be reused.
    pub(super) fn spares_connection(&self) -> bool {
        match self {
            StoreError::Refused(_) | StoreError::Conflict(_) => true,
            // With an SQLSTATE the server has answered, so the session is intact.
            StoreError::Failed(error) | StoreError::Denied(error) => code(error).is_some(),
            StoreError::Schema { .. }
            | StoreError::TooOld { .. }
            | StoreError::Setup(_)
            | StoreError::Url(_)
            | StoreError::MissingTable(_)
            | StoreError::Elsewhere { .. }
            | StoreError::Unowned
            | StoreError::Owned(_) => true,
            StoreError::Unreachable(_)
            | StoreError::TooLarge(_)
            | StoreError::Slow(_)
            | StoreError::Busy(_)
            | StoreError::StaleSession(_)
            | StoreError::Pooled => false,
        }
    }

    /// Whether the other sessions of this database are probably of no more use than the one that returned
    /// this error: after a failover, a restart, `DISCARD ALL` or a changed table.
    pub(super) fn spoils_idle_connections(&self) -> bool {
        matches!(self, StoreError::Unreachable(_) | StoreError::StaleSession(_))
    }

    /// Whether the same statement may succeed when repeated at once.
    pub(super) fn is_worth_repeating(&self) -> bool {
        matches!(self, StoreError::Conflict(_) | StoreError::StaleSession(_))
    }

    /// The error of a statement that is not repeated any more. If each new session lacks its prepared
    /// statements, several clients share one.
    pub(super) fn after_last_try(self) -> StoreError {
        match self {
            StoreError::StaleSession(error) if code(&error).as_deref() != Some("0A000") => {
                StoreError::Pooled
            }
            error => error,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        let sqlite = matches!(&error, sqlx::Error::Database(database)
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some());
        match code(&error) {
            Some(code) if sqlite => of_sqlite(&code, error),
            Some(code) => of_postgres(&code, error),
            None => match &error {
                sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::FileTooLarge => {
                    StoreError::TooLarge(error)
                }
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed => StoreError::Unreachable(error),
                sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => StoreError::Refused(error),
                _ => StoreError::Failed(error),
            },
        }
    }
}

/// Classifies by SQLSTATE (PostgreSQL manual, appendix A), never by the text, which is translated.
fn of_postgres(code: &str, error: sqlx::Error) -> StoreError {
    match (&code[..2.min(code.len())], code) {
        ("08" | "53" | "57", code) if code != "57014" => StoreError::Unreachable(error),
        // Read-only, in recovery, or failing storage: the server runs but cannot serve.
        ("25" | "58" | "XX", _) => StoreError::Unreachable(error),
        ("28", _) | (_, "42501" | "3D000") => StoreError::Denied(error),
        (_, "42P01") => StoreError::MissingTable(error),
        ("22" | "23", _) => StoreError::Refused(error),
        ("40", _) | (_, "55P03") => StoreError::Conflict(error),
        // A prepared statement exists unexpectedly, or is missing: `DISCARD ALL`, or another client uses
        // this session, too.
        (_, "26000" | "42P05") => StoreError::StaleSession(error),
        // "cached plan must not change result type"; the text is translated, the routine's name is not.
        (_, "0A000") if routine(&error) == Some("RevalidateCachedQuery") => {
            StoreError::StaleSession(error)
        }
        _ => StoreError::Failed(error),
    }
}

/// Classifies by the primary result code (sqlite.org/rescode.html), the low byte of the extended code.
fn of_sqlite(code: &str, error: sqlx::Error) -> StoreError {
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        // SQLite has only a general code for it.
        1 if message(&error).starts_with("no such table") => StoreError::MissingTable(error),
        5 | 6 => StoreError::Conflict(error), // BUSY, LOCKED
        8 | 10 | 13 | 14 | 26 => StoreError::Unreachable(error), // READONLY, IOERR, FULL, CANTOPEN, NOTADB
        3 | 23 => StoreError::Denied(error),                     // PERM, AUTH
        18..=20 => StoreError::Refused(error),                   // TOOBIG, CONSTRAINT, MISMATCH
        _ => StoreError::Failed(error),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// The name of the function in PostgreSQL's source that reported the error.
fn routine(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.routine()
}

/// The database's message without its details, which may quote a row.
fn message(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    }
}

/// The error and its causes on one line, for a log line or a status.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some of sqlx's errors repeat their cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
