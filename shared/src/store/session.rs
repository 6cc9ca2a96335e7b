//! How a database session is opened: what it is told first, and whether it is ours alone.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _, raw_sql};

/// What a PostgreSQL session is told first. As statements, because a pooler in between refuses
/// start-up parameters. Custom plans, because a generic plan made while `polychron_job_execution` is small
/// scans it whole for as long as it is cached.
const ALWAYS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '2s'; \
                       SET idle_in_transaction_session_timeout = '10s'; \
                       SET plan_cache_mode = 'force_custom_plan'; \
                       SET synchronous_commit = 'on'; SET TimeZone = 'UTC'";
/// And this, where all rows are found by their keys: no table is scanned or sorted whole, nor its
/// index walked for a merge, which is how a table looks best of which nothing is known yet, or of
/// which most is due at once. What has no key to go by (a table of one row) costs so much in the
/// planner's eyes that it would be compiled, which takes longer than all else.
const BY_KEYS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
                       SET enable_mergejoin = off; SET jit = off";
/// And this, where each statement is planned once, be it while the table is empty.
const ONCE: &str = "SET plan_cache_mode = 'force_generic_plan'";

/// How PostgreSQL plans the statements of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planning {
    /// As it sees fit, each time: for what people ask.
    Free,
    /// By keys and in the order of indexes, each time.
    ByKeys,
    /// The same, once in each session. For small statements, many times a second: to plan a claim
    /// takes longer than to carry it out.
    ByKeysOnce,
}

impl Planning {
    /// What a session is told first.
    fn statements(self) -> String {
        match self {
            Planning::Free => ALWAYS.to_owned(),
            Planning::ByKeys => format!("{ALWAYS}; {BY_KEYS}"),
            Planning::ByKeysOnce => format!("{ALWAYS}; {BY_KEYS}; {ONCE}"),
        }
    }
}

/// How a connection is opened and made ready.
pub(super) trait Open: Connection + Sized + Send + 'static {
    /// Opens one; the caller limits how long it may take.
    fn open(
        options: &Self::Options,
        planning: Planning,
    ) -> impl Future<Output = sqlx::Result<Self>> + Send;

    /// Whether others have this connection's session, too.
    fn is_shared(
        &mut self,
        options: &Self::Options,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;
}

impl Open for PgConnection {
    async fn open(options: &PgConnectOptions, planning: Planning) -> sqlx::Result<PgConnection> {
        let mut connection = options.connect().await?;
        raw_sql(AssertSqlSafe(planning.statements())).execute(&mut connection).await?;
        Ok(connection)
    }

    /// A pooler in transaction mode gives the session that was free last to whoever asks next: two
    /// clients that ask in turn are answered by one process of the server, or by another than
    /// before.
    async fn is_shared(&mut self, options: &PgConnectOptions) -> sqlx::Result<bool> {
        let mine = backend(self).await?;
        let mut other = options.connect().await?;
        let theirs = backend(&mut other).await?;
        let again = backend(self).await?;
        other.close().await?;
        Ok(mine == theirs || mine != again)
    }
}

/// The server's process that answers; asked without a prepared statement, which a shared session
/// may know already.
async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

impl Open for SqliteConnection {
    /// It plans when it prepares, as it always does.
    async fn open(options: &SqliteConnectOptions, _: Planning) -> sqlx::Result<SqliteConnection> {
        options.connect().await
    }

    async fn is_shared(&mut self, _: &SqliteConnectOptions) -> sqlx::Result<bool> {
        Ok(false)
    }
}
