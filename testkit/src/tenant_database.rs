//! One tenant's database of either kind, with a clock that the test controls, and a session in which the
//! test runs plain SQL, as the tenant's application would.

use std::time::Duration;

use shared::clock::{Clock, ManualClock, Time};
use shared::database_url::DatabaseUrl;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::random::Random;
use shared::store::{Connections, DbTime, Schema, Store, migrate};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use tokio::sync::Mutex;

use crate::{Folder, copy_of_database, postgres_database, postgres_database_in};

/// A tenant's database, claimed for that tenant.
pub struct TenantDatabase {
    /// Its URL.
    pub url: DatabaseUrl,
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// The clock of every store on it.
    pub clock: ManualClock,
    /// The same sequence in every run.
    pub random: Random,
    session: Mutex<RawConnection>,
    _folder: Option<Folder>,
}

enum RawConnection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// The schema of the tables in a database that tests copy.
pub const TEMPLATE_SCHEMA: &str = "lies";

/// The variable that names the database which [`TenantDatabase::postgres`] copies.
pub const TEMPLATE: &str = "POLYCHRON_TEST_TEMPLATE";

#[expect(clippy::disallowed_methods, reason = "a test passes it to a process of its own")]
fn over_template() -> Option<String> {
    std::env::var(TEMPLATE).ok()
}

/// One of each kind, for a test that does the same with both.
pub async fn both_stores() -> [TenantDatabase; 2] {
    [TenantDatabase::postgres().await, TenantDatabase::sqlite().await]
}

impl TenantDatabase {
    /// In PostgreSQL; where `over_template` is set, as a copy of that database.
    pub async fn postgres() -> TenantDatabase {
        if let Some(template) = over_template() {
            return TenantDatabase::copy_of(&template).await;
        }
        TenantDatabase::within(postgres_database().await).await
    }

    /// In PostgreSQL, in a database with another encoding than UTF8.
    pub async fn postgres_in(encoding: &str) -> TenantDatabase {
        TenantDatabase::within(postgres_database_in(encoding).await).await
    }

    async fn within(url: DatabaseUrl) -> TenantDatabase {
        migrate(&url, Schema::Tenant).await.unwrap();
        let session = RawConnection::Postgres(PgConnection::connect(url.expose()).await.unwrap());
        TenantDatabase::claimed(url, session, None).await
    }

    /// A copy of a database whose tables are in the schema [`TEMPLATE_SCHEMA`]. The test's own session
    /// sees views of them in `public`, so it doesn't see what else is in that schema.
    async fn copy_of(template: &str) -> TenantDatabase {
        let url = copy_of_database(template).await;
        let mut session = PgConnection::connect(url.expose()).await.unwrap();
        let views = ["polychron_identity", "polychron_job", "polychron_job_execution"]
            .map(|table| format!("CREATE VIEW {table} AS SELECT * FROM {TEMPLATE_SCHEMA}.{table}"));
        sqlx::raw_sql(AssertSqlSafe(views.join("; "))).execute(&mut session).await.unwrap();
        let options = format!("?options=-c%20search_path%3D{TEMPLATE_SCHEMA},pg_catalog");
        let url = format!("{}{options}", url.expose()).parse().unwrap();
        TenantDatabase::claimed(url, RawConnection::Postgres(session), None).await
    }

    /// In SQLite.
    pub async fn sqlite() -> TenantDatabase {
        let folder = Folder::new();
        let url = folder.sqlite_database("tenant.db");
        migrate(&url, Schema::Tenant).await.unwrap();
        let session = RawConnection::Sqlite(SqliteConnection::connect(url.expose()).await.unwrap());
        TenantDatabase::claimed(url, session, Some(folder)).await
    }

    async fn claimed(
        url: DatabaseUrl,
        session: RawConnection,
        folder: Option<Folder>,
    ) -> TenantDatabase {
        let clock = ManualClock::new("2026-11-24T12:00:00.123456Z".parse().unwrap());
        let random = Random::seeded(1);
        let tenant = TenantId::new(Clock::Manual(clock.clone()).wall_time(), &random);
        let session = Mutex::new(session);
        let database = TenantDatabase { url, tenant, clock, random, session, _folder: folder };
        assert!(database.store().set_owner().await.unwrap().is_applied());
        database
    }

    /// A store with connections of its own, as another process would have.
    pub fn store(&self) -> Store {
        let connections = Connections::new(Clock::Manual(self.clock.clone()), 8);
        Store::new(self.tenant, &self.url, &connections).unwrap()
    }

    /// The database's time, which is the manual clock's.
    pub fn now(&self) -> DbTime {
        DbTime::shown_by(&self.clock)
    }

    /// Advances the clock and returns its time.
    pub fn advance(&self, by: Duration) -> DbTime {
        self.clock.advance(by);
        self.now()
    }

    /// Whether it is an SQLite file.
    pub fn is_sqlite(&self) -> bool {
        self.url.is_sqlite()
    }

    /// A new execution id.
    pub fn execution_id(&self) -> ExecutionId {
        ExecutionId::new(self.now().time(), &self.random)
    }

    /// Runs plain SQL. Returns the number of affected rows, or the database's error.
    pub async fn try_execute(&self, sql: &str) -> Result<u64, String> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let done = match &mut *self.session.lock().await {
            RawConnection::Postgres(session) => {
                sql.execute(session).await.map(|d| d.rows_affected())
            }
            RawConnection::Sqlite(session) => sql.execute(session).await.map(|d| d.rows_affected()),
        };
        done.map_err(|error| error.to_string())
    }

    /// Runs plain SQL that must succeed. Returns the number of affected rows.
    pub async fn execute(&self, sql: &str) -> u64 {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of a query for one text column; `-` for null.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = match &mut *self.session.lock().await {
            RawConnection::Postgres(session) => sqlx::query_scalar(sql).fetch_all(session).await,
            RawConnection::Sqlite(session) => sqlx::query_scalar(sql).fetch_all(session).await,
        };
        let rows: Vec<Option<String>> = rows.unwrap_or_else(|error| panic!("{error}"));
        rows.into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect()
    }

    /// The result of a query for one text in one row.
    pub async fn text(&self, sql: &str) -> String {
        let mut rows = self.texts(sql).await;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)
    }

    /// The plan of a statement. PostgreSQL plans it with the arguments, given as literals; SQLite without
    /// them.
    pub async fn plan(&self, statement: &str, arguments: &str) -> String {
        let mut session = self.session.lock().await;
        let lines: Vec<String> = match &mut *session {
            RawConnection::Postgres(session) => {
                let prepare = format!(
                    "DEALLOCATE ALL; SET plan_cache_mode = force_custom_plan; PREPARE planned AS {statement}"
                );
                sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await.unwrap();
                let arguments =
                    if arguments.is_empty() { String::new() } else { format!("({arguments})") };
                let explain = format!("EXPLAIN EXECUTE planned{arguments}");
                let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(session).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            RawConnection::Sqlite(session) => {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let rows = sqlx::raw_sql(explain).fetch_all(session).await.unwrap();
                rows.iter().map(|row| row.get(3)).collect()
            }
        };
        lines.join("\n")
    }

    /// Inserts a job as an application would, with defaults for everything but its name.
    pub async fn insert_job(&self, name: &str) -> JobId {
        self.insert_job_with(name, "").await
    }

    /// Inserts a job and sets some columns: `queue = 'mail', max_attempts = 1`.
    pub async fn insert_job_with(&self, name: &str, columns: &str) -> JobId {
        self.execute(&format!(
            "INSERT INTO polychron_job (name, job_type, schedule) VALUES ('{name}', 'noop', '{{\"every\":\"1m\"}}')"
        ))
        .await;
        if !columns.is_empty() {
            self.execute(&format!("UPDATE polychron_job SET {columns} WHERE name = '{name}'"))
                .await;
        }
        let id = format!("SELECT CAST(id AS text) FROM polychron_job WHERE name = '{name}'");
        JobId(self.text(&id).await.parse().unwrap())
    }

    /// Inserts a job that is due at `time`.
    pub async fn insert_due_job(&self, name: &str, time: impl Into<Time>) -> JobId {
        let time = time.into().to_rfc3339();
        self.insert_job_with(name, &format!("next_run_at = '{time}', schedule_since = '{time}'"))
            .await
    }
}
