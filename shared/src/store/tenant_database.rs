//! The tenant's own database, as a handler uses it during one execution.
//!
//! Each execution has a pool of its own, not each tenant. So when the execution ends, everything that its
//! handler left behind (a running statement, an open transaction, a temporary table, a setting) ends with
//! it, and nothing else does; and idle tenants hold no connections. The pool connects at its first use,
//! so handlers that need no database cost no connection.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::db::Options;
use super::error::StoreError;
use super::handler_sessions::{END_LIMIT, HandlerSessions, Session};
use super::read_limits::ReadLimits;
use super::sql;
use crate::clock::{BootTime, Clock};
use crate::database_url::DatabaseUrl;
use crate::id::ExecutionId;

/// The maximum number of connections of one execution.
const CONNECTIONS_MAX: u32 = 4;
/// The longest wait for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(10);
/// How long connections may take to close before their sessions are terminated.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// How long after the deadline the server aborts a statement by itself, in case the worker has died.
const SERVER_GRACE: Duration = Duration::from_secs(1);
/// SQLite instructions between two checks whether the execution was cancelled.
const SQLITE_CHECK_EVERY: i32 = 10_000;

/// The database of the tenant whose job runs, accessed with the role that the tenant's URL names.
pub struct TenantDatabase {
    url: DatabaseUrl,
    /// The `application_name` of its sessions, unless a handler changes it.
    name: String,
    clock: Clock,
    /// When the execution times out.
    deadline: BootTime,
    /// Interrupts SQLite's statements, because SQLite has no server that could abort them.
    interrupt: CancellationToken,
    pool: OnceLock<Pool>,
    /// The PostgreSQL sessions that this execution has opened.
    sessions: HandlerSessions,
}

enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Pool {
    async fn close(&self) {
        match self {
            Pool::Postgres(pool) => pool.close().await,
            Pool::Sqlite(pool) => pool.close().await,
        }
    }
}

/// Why a handler cannot get a pool.
#[derive(Debug, thiserror::Error)]
pub enum WrongDatabase {
    /// The handler requested a pool of the other kind of database.
    #[error("the tenant's database is {0}")]
    Kind(&'static str),
    /// The URL is malformed.
    #[error(transparent)]
    Url(#[from] StoreError),
}

impl TenantDatabase {
    /// Connects to nothing yet. `cancelled`, which is also cancelled at the deadline, interrupts SQLite's
    /// statements. `deadline` limits PostgreSQL's statements, which could outlive this process.
    pub fn new(
        url: &DatabaseUrl,
        execution: ExecutionId,
        clock: Clock,
        deadline: BootTime,
        cancelled: CancellationToken,
    ) -> TenantDatabase {
        let sessions = HandlerSessions::new(url, &clock);
        TenantDatabase {
            url: url.clone(),
            name: format!("polychron {execution}"),
            clock,
            deadline,
            interrupt: cancelled.child_token(),
            pool: OnceLock::new(),
            sessions,
        }
    }

    /// The database's URL, including the password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Whether the database is an SQLite file rather than PostgreSQL.
    pub fn is_sqlite(&self) -> bool {
        self.url.is_sqlite()
    }

    /// The path of the SQLite file.
    ///
    /// # Errors
    /// If the database is PostgreSQL, or the URL is malformed.
    pub fn sqlite_file(&self) -> Result<PathBuf, WrongDatabase> {
        match Options::of(&self.url)? {
            Options::Sqlite(options) => Ok(options.get_filename().to_path_buf()),
            Options::Postgres(_) => Err(WrongDatabase::Kind("PostgreSQL, not SQLite")),
        }
    }

    /// The time until the execution's deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline - self.clock.boot_time()
    }

    /// A pool of PostgreSQL connections. Their `statement_timeout` ends shortly after the deadline.
    ///
    /// # Errors
    /// If the database is not PostgreSQL.
    pub fn postgres(&self) -> Result<PgPool, WrongDatabase> {
        self.postgres_within(ReadLimits::HANDLER)
    }

    /// The same, for statements whose rows are discarded: the server may send less data.
    ///
    /// # Errors
    /// If the database is not PostgreSQL.
    pub fn postgres_for_script(&self) -> Result<PgPool, WrongDatabase> {
        self.postgres_within(ReadLimits::SCRIPT)
    }

    fn postgres_within(&self, limits: ReadLimits) -> Result<PgPool, WrongDatabase> {
        match self.pool(limits)? {
            Pool::Postgres(pool) => Ok(pool.clone()),
            Pool::Sqlite(_) => Err(WrongDatabase::Kind("SQLite, not PostgreSQL")),
        }
    }

    /// A pool of SQLite connections. Their statements are interrupted when the execution must end.
    ///
    /// # Errors
    /// If the database is not SQLite.
    pub fn sqlite(&self) -> Result<SqlitePool, WrongDatabase> {
        match self.pool(ReadLimits::HANDLER)? {
            Pool::Sqlite(pool) => Ok(pool.clone()),
            Pool::Postgres(_) => Err(WrongDatabase::Kind("PostgreSQL, not SQLite")),
        }
    }

    fn pool(&self, limits: ReadLimits) -> Result<&Pool, WrongDatabase> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let pool = match Options::of(&self.url)? {
            Options::Postgres(options) => {
                let options = limits.apply(options.application_name(&self.name));
                Pool::Postgres(self.open_postgres(options))
            }
            Options::Sqlite(options) => Pool::Sqlite(self.open_sqlite(*options)),
        };
        Ok(self.pool.get_or_init(|| pool))
    }

    fn open_postgres(&self, options: PgConnectOptions) -> PgPool {
        let (clock, deadline) = (self.clock.clone(), self.deadline + SERVER_GRACE);
        let sessions = self.sessions.clone();
        PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_LIMIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let left = deadline - clock.boot_time();
                let left = left.as_millis().clamp(1, i32::MAX as u128);
                let sessions = sessions.clone();
                Box::pin(async move {
                    let session = sqlx::query_as(sql::READ_SESSION.postgres);
                    let session: Session = session.fetch_one(&mut *connection).await?;
                    sessions.add(session);
                    let session = format!(
                        "SET statement_timeout = {left}; \
                         SET idle_in_transaction_session_timeout = {left}"
                    );
                    connection.execute(sqlx::AssertSqlSafe(session)).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options)
    }

    fn open_sqlite(&self, options: SqliteConnectOptions) -> SqlitePool {
        let interrupt = self.interrupt.clone();
        SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_LIMIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let interrupt = interrupt.clone();
                let goes_on = move || !interrupt.is_cancelled();
                Box::pin(async move {
                    let mut handle = connection.lock_handle().await?;
                    handle.set_progress_handler(SQLITE_CHECK_EVERY, goes_on);
                    Ok(())
                })
            })
            .connect_lazy_with(options)
    }

    /// Closes the connections after the handler has returned, and terminates the busy ones.
    pub async fn close(&self) {
        let Some(pool) = self.pool.get() else { return };
        if timeout(CLOSE_LIMIT, pool.close()).await.is_ok() {
            return;
        }
        let ended = match pool {
            Pool::Sqlite(_) => {
                self.interrupt.cancel();
                let closed = timeout(END_LIMIT, pool.close()).await;
                closed.map_err(|_| "the statement is not interrupted".to_owned())
            }
            Pool::Postgres(_) => self.sessions.end().await,
        };
        if let Err(reason) = ended {
            let session = &self.name;
            warn!(session, "a handler's session could not be ended yet: {reason}");
            if let Pool::Postgres(_) = pool {
                tokio::spawn(self.sessions.clone().keep_ending());
            }
        }
    }
}

impl std::fmt::Debug for TenantDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantDatabase({})", self.url)
    }
}
