//! Migrates databases.

use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, raw_sql};
use tokio::time::{sleep, timeout};

use super::db::{Options, begin_immediate};
use super::error::{Result, StoreError};
use super::locked_jobs::TableLock;
use super::schema::{BASELINE, Migrations, Schema, is_missing_table};
use super::session::{Open, Planning, quote_identifier};
use super::sql;
use crate::database_url::DatabaseUrl;
use crate::private_file;
use crate::tenant::Tenant;

/// The longest a migration may take; large tables may need their time.
const MIGRATION_LIMIT: Duration = Duration::from_secs(600);

/// The longest that reading a database's version may take.
const PREVIEW_LIMIT: Duration = Duration::from_secs(10);

/// How often a migration is tried that waits for a lock, and the pause between. Whoever comes after it waits
/// behind it, so each try is short, and the application's statements run in the pauses.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_secs(1);
const SHORT_WAITS: &str = "SET statement_timeout = 0; SET lock_timeout = '2s'";

/// How often, and after which delay, opening a file that another process is creating is retried.
const OPENED_AGAIN: u32 = 20;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The views with the tables' former names.
const POSTGRES_VIEWS: &str = include_str!("../../../migrations/tenant/views.postgres.sql");
const SQLITE_VIEWS: &str = include_str!("../../../migrations/tenant/views.sqlite.sql");

/// Whether a migration creates the read-only views `job` and `job_execution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Views {
    /// Creates them.
    Make,
    /// Leaves them as they are, present or not.
    Leave,
}

/// A migration of one database to this program's schema version.
#[derive(Clone, Copy, Debug)]
pub struct Migration<'a> {
    /// The database.
    pub url: &'a DatabaseUrl,
    /// The schema to migrate to.
    pub schema: Schema,
    /// The PostgreSQL schema for the tables; `None` means where the role's search path leads.
    pub within: Option<&'a str>,
    /// Whether to create the views.
    pub views: Views,
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
    /// The PostgreSQL schema that holds the tables; none in SQLite.
    pub within: Option<String>,
}

/// Migrates a database whose tables are where its role's search path leads. Creates a missing SQLite file.
///
/// # Errors
/// See [`Migration::run`].
pub async fn migrate(url: &DatabaseUrl, schema: Schema) -> Result<Migrated> {
    Migration { url, schema, within: None, views: Views::Leave }.run().await
}

impl<'a> Migration<'a> {
    /// The migration of a tenant's database, as the control database lists it.
    pub fn of(tenant: &'a Tenant, views: Views) -> Migration<'a> {
        let (url, within) = (&tenant.database_url, tenant.schema.as_deref());
        Migration { url, schema: Schema::Tenant, within, views }
    }

    /// Migrates the database. Creates a missing SQLite file, or the named PostgreSQL schema if it is missing.
    ///
    /// Of several concurrent callers, one migrates; the others wait and find nothing to do. It uses a
    /// connection of its own, which is always closed afterwards, because a failed migration leaves its
    /// advisory lock with the session.
    ///
    /// # Errors
    /// [`Setup`](StoreError::Setup) if a privilege is missing, or a view's name is taken.
    pub async fn run(&self) -> Result<Migrated> {
        let migration = async {
            match Options::of(self.url)? {
                Options::Postgres(options) => self.try_postgres(&options).await,
                Options::Sqlite(options) => self.run_sqlite(*options).await,
            }
        };
        match timeout(MIGRATION_LIMIT, migration).await {
            Ok(migrated) => migrated,
            Err(_) => Err(StoreError::Slow(MIGRATION_LIMIT.as_secs())),
        }
    }

    /// Tries again while other sessions keep the tables locked. At last the error names them.
    async fn try_postgres(&self, options: &PgConnectOptions) -> Result<Migrated> {
        let mut tries = 1;
        loop {
            match self.run_postgres(options).await {
                Err(StoreError::Conflict(_)) if tries < LOCK_TRIES => sleep(LOCK_PAUSE).await,
                Err(error @ StoreError::Conflict(_)) => return Err(blocked(options, error).await),
                done => return done,
            }
            tries += 1;
        }
    }

    async fn run_postgres(&self, options: &PgConnectOptions) -> Result<Migrated> {
        let path = self.schema.search_path(self.within);
        let mut connection = PgConnection::open(options, Planning::Free, Some(&path)).await?;
        // The session holds the lock against concurrent migrations.
        if connection.is_shared(options).await.unwrap_or(false) {
            return Err(StoreError::Pooled);
        }
        raw_sql(SHORT_WAITS).execute(&mut connection).await?;
        // sqlx takes the same lock again later. It must be held earlier, too: concurrent callers must not
        // read the applied migrations or create the schema. The end of the session releases it.
        connection.lock().await.map_err(of_migration)?;
        let migrations = self.schema.postgres();
        let applied = applied(&mut connection, self.schema).await?;
        let is_complete = migrations.is_complete(&applied);
        let within = self.make_schema(&mut connection, is_complete).await?;
        if is_complete {
            sqlx::query(self.schema.tables().postgres).execute(&mut connection).await?;
        } else {
            apply(&mut connection, migrations, self.schema, &applied).await?;
        }
        if self.views == Views::Make {
            let taken = sqlx::query_scalar(sql::FIND_TAKEN_NAMES.postgres);
            refuse_taken(taken.fetch_all(&mut connection).await?)?;
            raw_sql(POSTGRES_VIEWS).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(self.migrated(version_of(&applied), Some(within)))
    }

    async fn run_sqlite(&self, options: SqliteConnectOptions) -> Result<Migrated> {
        let file = options.get_filename().to_path_buf();
        self.protect(&file)?;
        let mut connection = open_new(&options.create_if_missing(true)).await?;
        // sqlx takes no lock for SQLite, so everything runs in one transaction of ours, in which sqlx's
        // transactions become savepoints.
        let mut transaction = begin_immediate(&mut connection).await?;
        let migrations = self.schema.sqlite();
        let applied = applied(&mut *transaction, self.schema).await?;
        if migrations.is_complete(&applied) {
            sqlx::query(self.schema.tables().sqlite).execute(&mut *transaction).await?;
        } else {
            apply(&mut *transaction, migrations, self.schema, &applied).await?;
        }
        if self.views == Views::Make {
            let taken = sqlx::query_scalar(sql::FIND_TAKEN_NAMES.sqlite);
            refuse_taken(taken.fetch_all(&mut *transaction).await?)?;
            raw_sql(SQLITE_VIEWS).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        connection.close().await?;
        Ok(self.migrated(version_of(&applied), None))
    }

    /// Creates a missing SQLite file with access for this user only. An existing control database is
    /// restricted as well, because it contains URLs with passwords. A tenant's is not: other users' programs
    /// may use it. SQLite creates `-wal` and `-shm` files with the same mode.
    fn protect(&self, file: &Path) -> Result<()> {
        // SQLite's names for databases in memory.
        if file.as_os_str().is_empty() || file.to_string_lossy().starts_with([':', '?']) {
            return Ok(());
        }
        // If the folder is missing or read-only, opening the file reports it.
        let is_new = private_file::create(file).unwrap_or_default();
        if is_new || self.schema != Schema::Control {
            return Ok(());
        }
        for ending in ["", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            match private_file::restrict(Path::new(&name)) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(StoreError::Setup(format!(
                        "other users can read the control database {}, which holds passwords, and \
                         it is another user's: let the owner run `chmod 600`",
                        Path::new(&name).display()
                    )));
                }
                // The file is missing, or opening it reports the error.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Creates the PostgreSQL schema if it is missing, and returns its name. The error names the privilege
    /// that is missing for that, or for creating tables. If the schema `is_complete`, none is needed.
    async fn make_schema(
        &self,
        connection: &mut PgConnection,
        is_complete: bool,
    ) -> Result<String> {
        type Rights = (Option<String>, bool, bool, Option<String>, Option<String>);
        let (name, exists, may_create, grant_tables, grant_schema): Rights =
            sqlx::query_as(sql::READ_RIGHTS.postgres)
                .bind(self.within)
                .fetch_one(&mut *connection)
                .await?;
        let Some(name) = name else {
            let text = "the role's search_path names no schema that exists: create one";
            return Err(StoreError::Setup(text.to_owned()));
        };
        let missing = |what: &str, grant: Option<String>| {
            StoreError::Setup(format!(
                "the role may not create {what} `{name}`: let the owner run `{}`, or choose another \
                 schema",
                grant.unwrap_or_default()
            ))
        };
        if !exists {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quote_identifier(&name));
            let created = raw_sql(AssertSqlSafe(create)).execute(connection).await;
            match created.map_err(StoreError::from) {
                Err(StoreError::Denied(_)) => return Err(missing("schema", grant_schema)),
                created => created?,
            };
        } else if !is_complete && !may_create {
            return Err(missing("tables in schema", grant_tables));
        }
        Ok(name)
    }

    /// What [`run`](Migration::run) would do. Changes nothing: a missing database is not created, and an
    /// existing one is only read.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn preview(&self) -> Result<Migrated> {
        let from = match timeout(PREVIEW_LIMIT, self.version()).await {
            Ok(version) => version?,
            Err(_) => return Err(StoreError::Slow(PREVIEW_LIMIT.as_secs())),
        };
        Ok(self.migrated(from, self.within.map(str::to_owned)))
    }

    async fn version(&self) -> Result<i64> {
        let applied = match Options::of(self.url)? {
            Options::Postgres(options) => {
                let path = self.schema.search_path(self.within);
                let mut connection =
                    PgConnection::open(&options, Planning::Free, Some(&path)).await?;
                let applied = applied(&mut connection, self.schema).await;
                connection.close().await?;
                applied?
            }
            Options::Sqlite(options) if !options.get_filename().exists() => Vec::new(),
            Options::Sqlite(_) => {
                // Without our options, because a read-only connection cannot switch to a write-ahead log.
                let plain = SqliteConnectOptions::from_str(self.url.expose())?;
                let options = plain.busy_timeout(PREVIEW_LIMIT).read_only(true);
                let mut connection = SqliteConnection::open(&options, Planning::Free, None).await?;
                let applied = applied(&mut connection, self.schema).await;
                connection.close().await?;
                applied?
            }
        };
        Ok(version_of(&applied))
    }

    fn migrated(&self, from: i64, within: Option<String>) -> Migrated {
        Migrated { from, to: from.max(self.schema.version()), within }
    }
}

/// The error of a migration that other sessions have kept waiting, with their names if they are found.
async fn blocked(options: &PgConnectOptions, error: StoreError) -> StoreError {
    let find = async {
        let mut connection = PgConnection::open(options, Planning::Free, None).await?;
        let users = sqlx::query_as(sql::FIND_TABLE_USERS.postgres);
        let users: Vec<TableLock> = users.fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(users)
    };
    let users = find.await.unwrap_or_default();
    let Some(TableLock { name, session }) = users.first() else { return error };
    StoreError::Setup(format!(
        "nothing was migrated, because {name} is in use by {session}: end that transaction, and try again"
    ))
}

/// Opens a file, and retries while another process that created it switches it to a write-ahead log.
/// SQLite's busy timeout does not apply to that:
/// <https://sqlite.org/wal.html#sometimes_queries_return_sqlite_busy_in_wal_mode>.
async fn open_new(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    let mut tries = 0;
    loop {
        let opened = SqliteConnection::open(options, Planning::Free, None).await;
        match opened.map_err(StoreError::from) {
            Err(StoreError::Conflict(_)) if tries < OPENED_AGAIN => sleep(OPEN_AGAIN_AFTER).await,
            opened => return opened,
        }
        tries += 1;
    }
}

/// The migrations that a database records as applied; none if it has no schema of ours.
async fn applied<C: Migrate>(connection: &mut C, schema: Schema) -> Result<Vec<AppliedMigration>> {
    match connection.list_applied_migrations(schema.record()).await {
        Ok(applied) => Ok(applied),
        Err(MigrateError::Execute(error)) if is_missing_table(&error) => Ok(Vec::new()),
        Err(error) => Err(of_migration(error)),
    }
}

fn version_of(applied: &[AppliedMigration]) -> i64 {
    applied.iter().map(|one| one.version).max().unwrap_or_default()
}

/// Applies the migrations that a database lacks.
async fn apply<C: Migrate>(
    connection: &mut C,
    migrations: &Migrations,
    schema: Schema,
    applied: &[AppliedMigration],
) -> Result<()> {
    let Migrations { all, baseline } = migrations;
    let from = version_of(applied);
    let run = async {
        if from == 0 {
            connection.ensure_migrations_table(schema.record()).await?;
            connection.apply(schema.record(), baseline).await?;
        }
        if from == 0 || from >= BASELINE {
            // Record the migrations that the baseline replaces, also if an earlier run was interrupted here.
            all.run_direct(Some(BASELINE - 1), connection, true).await?;
        }
        all.run_direct(None, connection, false).await
    };
    run.await.map_err(of_migration)
}

fn refuse_taken(names: Vec<String>) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    Err(StoreError::Setup(format!(
        "the views were not made: the database has something else called {} already",
        names.join(" and ")
    )))
}

fn of_migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Failed(sqlx::Error::Migrate(Box::new(other))),
    }
}
