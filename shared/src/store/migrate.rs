//! The schemas, embedded, and how they are brought up to date.
//!
//! Migrations only add, and old programs go on working beside the new schema; so a schema that
//! is newer than this program is accepted, an older one is not.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::time::{sleep, timeout};

use super::db::{Db, Options, begin_immediate, run_on_either};
use super::error::{Result, StoreError};
use super::session::{Open, Planning};
use super::sql;
use crate::database_url::DatabaseUrl;

/// The longest a migration may take; large tables may need their time.
const MIGRATION_LIMIT: Duration = Duration::from_secs(600);

/// The longest a look at a database's version may take.
const PREVIEW_LIMIT: Duration = Duration::from_secs(10);

/// How often a file that others are making is opened again, and after how long.
const OPENED_AGAIN: u32 = 20;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Which of the two schemas. Each keeps its own record, so that both may live in one database,
/// beside an application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The list of tenants.
    Control,
    /// One tenant's jobs.
    Tenant,
}

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

struct Migrators {
    postgres: Migrator,
    sqlite: Migrator,
}

static CONTROL: LazyLock<Migrators> = LazyLock::new(|| {
    embedded(
        sqlx::migrate!("../migrations/control/postgres"),
        sqlx::migrate!("../migrations/control/sqlite"),
        Schema::Control,
    )
});

static TENANT: LazyLock<Migrators> = LazyLock::new(|| {
    embedded(
        sqlx::migrate!("../migrations/tenant/postgres"),
        sqlx::migrate!("../migrations/tenant/sqlite"),
        Schema::Tenant,
    )
});

fn embedded(mut postgres: Migrator, mut sqlite: Migrator, schema: Schema) -> Migrators {
    for migrator in [&mut postgres, &mut sqlite] {
        migrator.dangerous_set_table_name(schema.record());
        migrator.set_ignore_missing(true);
    }
    Migrators { postgres, sqlite }
}

impl Schema {
    fn migrators(self) -> &'static Migrators {
        match self {
            Schema::Control => &CONTROL,
            Schema::Tenant => &TENANT,
        }
    }

    /// The table that records which migrations were applied.
    fn record(self) -> &'static str {
        match self {
            Schema::Control => "polychron_control_migration",
            Schema::Tenant => "polychron_tenant_migration",
        }
    }

    /// The version that this program was built with.
    pub fn version(self) -> i64 {
        let migrations = self.migrators().postgres.iter();
        migrations.map(|migration| migration.version).max().unwrap_or_default()
    }
}

/// Brings a database up to date; an SQLite file is created if it isn't there.
///
/// Of several callers at once, one migrates and the others wait and find nothing to do. It uses a
/// connection of its own, closed afterwards whatever happens: a migration that fails leaves its
/// advisory lock with the session.
pub async fn migrate(url: &DatabaseUrl, schema: Schema) -> Result<Migrated> {
    let migrators = schema.migrators();
    let migration = async {
        match Options::of(url)? {
            Options::Postgres(options) => {
                let mut connection = PgConnection::open(&options, Planning::Free).await?;
                // The lock against other migrations is held by the session.
                if connection.is_shared(&options).await.unwrap_or(false) {
                    return Err(StoreError::Pooled);
                }
                sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = '30s'")
                    .execute(&mut connection)
                    .await?;
                let migrated = apply(&mut connection, &migrators.postgres, schema).await;
                connection.close().await?;
                migrated
            }
            Options::Sqlite(options) => {
                let mut connection = open_new(&options.create_if_missing(true)).await?;
                // sqlx locks nothing here, so that all of it is one transaction of ours, in which
                // its own become savepoints.
                let mut transaction = begin_immediate(&mut connection).await?;
                let migrated = apply(&mut *transaction, &migrators.sqlite, schema).await?;
                transaction.commit().await?;
                connection.close().await?;
                Ok(migrated)
            }
        }
    };
    match timeout(MIGRATION_LIMIT, migration).await {
        Ok(migrated) => migrated,
        Err(_) => Err(StoreError::Slow(MIGRATION_LIMIT.as_secs())),
    }
}

/// Opens a file, which may be new. The one who makes it switches it to a write-ahead log, and SQLite
/// lets nobody wait for that: <https://sqlite.org/wal.html#sometimes_queries_return_sqlite_busy_in_wal_mode>.
async fn open_new(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    let mut tries = 0;
    loop {
        let opened = SqliteConnection::open(options, Planning::Free).await;
        match opened.map_err(StoreError::from) {
            Err(StoreError::Conflict(_)) if tries < OPENED_AGAIN => sleep(OPEN_AGAIN_AFTER).await,
            opened => return opened,
        }
        tries += 1;
    }
}

/// What [`migrate`] would do. Nothing is changed: a database that isn't there is not made, and one
/// that is there is only read.
pub async fn preview_migration(url: &DatabaseUrl, schema: Schema) -> Result<Migrated> {
    let read = async {
        match Options::of(url)? {
            Options::Postgres(options) => {
                let mut connection = PgConnection::open(&options, Planning::Free).await?;
                let version = version_of(&mut connection, schema).await;
                connection.close().await?;
                version
            }
            Options::Sqlite(options) if !options.get_filename().exists() => Ok(0),
            Options::Sqlite(options) => {
                let mut connection =
                    SqliteConnection::open(&options.read_only(true), Planning::Free).await?;
                let version = version_of(&mut connection, schema).await;
                connection.close().await?;
                version
            }
        }
    };
    let from = match timeout(PREVIEW_LIMIT, read).await {
        Ok(version) => version?,
        Err(_) => return Err(StoreError::Slow(PREVIEW_LIMIT.as_secs())),
    };
    Ok(Migrated { from, to: from.max(schema.version()) })
}

async fn version_of<C: Migrate>(connection: &mut C, schema: Schema) -> Result<i64> {
    match connection.list_applied_migrations(schema.record()).await {
        Ok(applied) => Ok(applied.iter().map(|one| one.version).max().unwrap_or_default()),
        Err(MigrateError::Execute(error)) if is_missing_table(&error) => Ok(0),
        Err(error) => Err(of_migration(error)),
    }
}

async fn apply<C: Migrate>(
    connection: &mut C,
    migrator: &Migrator,
    schema: Schema,
) -> Result<Migrated> {
    // Taken once more by sqlx itself, and given back with the session: what is read before it, or
    // made, must not be read or made by two.
    connection.lock().await.map_err(of_migration)?;
    connection.ensure_migrations_table(schema.record()).await.map_err(of_migration)?;
    let before = connection.list_applied_migrations(schema.record()).await.map_err(of_migration)?;
    migrator.run_direct(None, connection, false).await.map_err(of_migration)?;
    let from = before.iter().map(|migration| migration.version).max().unwrap_or_default();
    Ok(Migrated { from, to: from.max(schema.version()) })
}

fn of_migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Failed(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// Refuses a schema that is older than this program.
pub(super) async fn check(db: &Db, schema: Schema) -> Result<()> {
    let expected = schema.version();
    let found = version(db, schema).await?;
    if found < expected { Err(StoreError::Schema { found, expected }) } else { Ok(()) }
}

/// The version a database has; 0 when it has no schema of ours.
pub(super) async fn version(db: &Db, schema: Schema) -> Result<i64> {
    let statement = match schema {
        Schema::Control => sql::READ_CONTROL_SCHEMA,
        Schema::Tenant => sql::READ_TENANT_SCHEMA,
    };
    let found = run_on_either!(db, statement, |text, connection| {
        sqlx::query_scalar(text).fetch_one(connection)
    });
    match found {
        Err(StoreError::Failed(error)) if is_missing_table(&error) => Ok(0),
        found => found,
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        // PostgreSQL has a code for it, SQLite only the general one.
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    })
}
