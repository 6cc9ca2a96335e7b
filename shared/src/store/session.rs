//! Opens database sessions: their settings, their search path, and the check whether a pooler shares them.

use std::sync::Weak;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _, raw_sql};
use tokio::sync::OwnedSemaphorePermit;

use super::connection_limits::ConnectionLimits;
use super::sql;

/// The settings of every PostgreSQL session. Sent as statements, because a pooler in between refuses
/// start-up parameters. Custom plans, because a generic plan made while `polychron_job_execution` is small
/// scans it whole for as long as it is cached. A policy that would hide rows from us fails instead.
const ALWAYS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
                       SET idle_in_transaction_session_timeout = '10s'; \
                       SET plan_cache_mode = 'force_custom_plan'; \
                       SET synchronous_commit = 'on'; SET TimeZone = 'UTC'; \
                       SET row_security = 'off'; SET client_min_messages = 'warning'";
/// A server whose database has the encoding SQL_ASCII refuses a whole answer if one text in it is no UTF-8. It
/// sends the bytes as they are if no encoding is asked for, so that a row that cannot be decoded costs itself
/// only. Runs under the role's own path, so it qualifies every name.
const RAW_TEXT: &str = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
                        WHERE pg_catalog.current_setting('server_encoding') \
                        OPERATOR(pg_catalog.=) 'SQL_ASCII'";
/// For statements that find all rows by keys. The planner prefers scans, sorts and merge joins on tables
/// without statistics, or if most rows are due at once: forbid them. A scan of a one-row table, which has no
/// other plan, then seems so expensive that the statement would be JIT-compiled: forbid that, too.
const BY_KEYS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
                       SET enable_mergejoin = off; SET jit = off";
/// Plans each statement once per session, even if the table is still empty then.
const ONCE: &str = "SET plan_cache_mode = 'force_generic_plan'";

/// SQLite instructions between two checks whether a statement is still wanted.
const SQLITE_CHECK_EVERY: i32 = 10_000;

/// How PostgreSQL plans the statements of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planning {
    /// Without restrictions, for each execution of a statement: for users' queries.
    Free,
    /// By keys and in the order of indexes, for each execution of a statement.
    ByKeys,
    /// The same, but once per session. For small frequent statements: planning a claim takes longer than
    /// executing it.
    ByKeysOnce,
}

impl Planning {
    /// A session's settings.
    fn statements(self) -> String {
        match self {
            Planning::Free => ALWAYS.to_owned(),
            Planning::ByKeys => format!("{ALWAYS}; {BY_KEYS}"),
            Planning::ByKeysOnce => format!("{ALWAYS}; {BY_KEYS}; {ONCE}"),
        }
    }
}

/// Where a PostgreSQL session finds our tables.
///
/// The session's path is that one schema, then `pg_temp`. PostgreSQL searches `pg_catalog` first
/// unless the path names it, and `pg_temp` too: named last, no temporary table can pass for ours.
/// Functions and operators in that schema are still candidates, and one that matches the arguments
/// better wins over that of `pg_catalog`. So our statements cast their arguments to exactly what
/// `pg_catalog` takes, or qualify the name, as `count("any")` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SearchPath {
    /// In the schema with this name.
    Named(String),
    /// In the schema where the role's own path leads to this table; if it leads to none, in the
    /// first schema of that path, which is where the role creates tables.
    WhereIs(&'static str),
}

impl SearchPath {
    /// The statement that sets the path. It runs under the role's own path, which may lead to a tenant's
    /// functions and operators instead of PostgreSQL's, so it qualifies every name.
    pub(super) fn statement(&self) -> String {
        match self {
            SearchPath::Named(schema) => {
                format!("SET search_path = {}, pg_temp", quote_identifier(schema))
            }
            SearchPath::WhereIs(table) => format!(
                "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', coalesce( \
                 (SELECT relnamespace::pg_catalog.regnamespace::pg_catalog.text \
                  FROM pg_catalog.pg_class \
                  WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('{table}')), \
                 pg_catalog.quote_ident(pg_catalog.current_schema())), 'pg_temp'), false)"
            ),
        }
    }
}

/// Quotes a name, so that PostgreSQL accepts it whatever it contains.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Opens and prepares connections of one kind of database.
pub(super) trait Open: Connection + Sized + Send + 'static {
    /// Opens a connection; the caller limits how long that may take. `path` is `None` for SQLite, which has
    /// no schemas.
    fn open(
        options: &Self::Options,
        planning: Planning,
        path: Option<&SearchPath>,
    ) -> impl Future<Output = sqlx::Result<Self>> + Send;

    /// Interrupts the current statement once `alive` is dropped, and holds `file` until the connection is
    /// closed. Does nothing for PostgreSQL, whose server aborts statements by itself.
    fn watch(
        &mut self,
        _alive: Weak<()>,
        _file: Option<OwnedSemaphorePermit>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        async { Ok(()) }
    }

    /// How many connections the server, the role and the database allow; none for SQLite.
    fn limits(&mut self) -> impl Future<Output = sqlx::Result<Option<ConnectionLimits>>> + Send {
        async { Ok(None) }
    }

    /// Whether a pooler shares this connection's session with other clients.
    fn is_shared(
        &mut self,
        options: &Self::Options,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;
}

impl Open for PgConnection {
    async fn open(
        options: &PgConnectOptions,
        planning: Planning,
        path: Option<&SearchPath>,
    ) -> sqlx::Result<PgConnection> {
        let mut connection = options.connect().await?;
        // In one round trip.
        let path = path.map(SearchPath::statement).unwrap_or_default();
        let settings = format!("{}; {RAW_TEXT}; {path}", planning.statements());
        raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
        Ok(connection)
    }

    async fn limits(&mut self) -> sqlx::Result<Option<ConnectionLimits>> {
        sqlx::query_as(sql::READ_CONNECTION_LIMIT.postgres).fetch_optional(self).await
    }

    /// A pooler in transaction mode gives the session that became free last to the next statement of any
    /// client. So two clients that take turns are served by the same backend process, or one client by
    /// different ones.
    async fn is_shared(&mut self, options: &PgConnectOptions) -> sqlx::Result<bool> {
        let mine = backend(self).await?;
        let mut other = options.connect().await?;
        let theirs = backend(&mut other).await?;
        let again = backend(self).await?;
        other.close().await?;
        Ok(mine == theirs || mine != again)
    }
}

/// The process id of the server's backend. Not a prepared statement, because a shared session may already
/// have one with that name.
async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    raw_sql("SELECT pg_catalog.pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

impl Open for SqliteConnection {
    /// Ignores `planning`: SQLite always plans a statement when it prepares it.
    async fn open(
        options: &SqliteConnectOptions,
        _: Planning,
        _: Option<&SearchPath>,
    ) -> sqlx::Result<SqliteConnection> {
        let mut connection = options.connect().await?;
        let mut handle = connection.lock_handle().await?;
        launcher::bound_sqlite(&mut handle)
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        drop(handle);
        Ok(connection)
    }

    /// A tenant's trigger may run forever on the connection's thread. That thread drops the progress handler,
    /// and with it `file`, when it has closed the connection.
    async fn watch(
        &mut self,
        alive: Weak<()>,
        file: Option<OwnedSemaphorePermit>,
    ) -> sqlx::Result<()> {
        let goes_on = move || {
            let _held_until_closed = &file;
            alive.strong_count() > 0
        };
        self.lock_handle().await?.set_progress_handler(SQLITE_CHECK_EVERY, goes_on);
        Ok(())
    }

    async fn is_shared(&mut self, _: &SqliteConnectOptions) -> sqlx::Result<bool> {
        Ok(false)
    }
}
