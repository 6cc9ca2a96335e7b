//! The two schemas, embedded: their migrations, what a new database gets instead, and which of them a
//! program can use.
//!
//! Migrations only add, and old programs go on working beside the new schema, unless a migration says
//! otherwise: it then raises the *minimum*, the lowest version that a program must have been built
//! with. So a program accepts any schema from its own version on whose minimum it reaches.

use std::sync::LazyLock;

use sqlx::migrate::{AppliedMigration, Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::db::{Db, run_on_either};
use super::error::{Result, StoreError};
use super::session::SearchPath;
use super::sql;

/// The version that a new database begins with. The migrations before it name tables without our
/// prefix, which may be the application's; so a new database gets a script that makes the same tables
/// by their own names.
pub(super) const BASELINE: i64 = 4;

/// Which of the two schemas. Each keeps its own record, so that both may live in one database,
/// beside an application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The list of tenants.
    Control,
    /// One tenant's jobs.
    Tenant,
}

/// A schema's migrations in one dialect.
pub(super) struct Migrations {
    /// All of them, for a database that has some already.
    pub(super) all: Migrator,
    /// The baseline, recorded as the migration whose state it makes.
    pub(super) baseline: Migration,
}

impl Migrations {
    fn new(mut all: Migrator, baseline: &'static str, schema: Schema) -> Migrations {
        all.dangerous_set_table_name(schema.record());
        all.set_ignore_missing(true);
        #[expect(clippy::expect_used, reason = "the migrations are compiled in")]
        let last = all.iter().find(|one| one.version == BASELINE).expect("the baseline's version");
        let baseline = Migration { sql: AssertSqlSafe(baseline).into_sql_str(), ..last.clone() };
        Migrations { all, baseline }
    }

    /// Whether a database that records these needs no other, and they are the ones we know.
    pub(super) fn is_complete(&self, applied: &[AppliedMigration]) -> bool {
        self.all.iter().all(|ours| {
            let is_same = |one: &&AppliedMigration| one.version == ours.version;
            applied.iter().find(is_same).is_some_and(|one| one.checksum == ours.checksum)
        })
    }
}

struct Dialects {
    postgres: Migrations,
    sqlite: Migrations,
}

static CONTROL: LazyLock<Dialects> = LazyLock::new(|| Dialects {
    postgres: Migrations::new(
        sqlx::migrate!("../migrations/control/postgres"),
        include_str!("../../../migrations/control/baseline.postgres.sql"),
        Schema::Control,
    ),
    sqlite: Migrations::new(
        sqlx::migrate!("../migrations/control/sqlite"),
        include_str!("../../../migrations/control/baseline.sqlite.sql"),
        Schema::Control,
    ),
});

static TENANT: LazyLock<Dialects> = LazyLock::new(|| Dialects {
    postgres: Migrations::new(
        sqlx::migrate!("../migrations/tenant/postgres"),
        include_str!("../../../migrations/tenant/baseline.postgres.sql"),
        Schema::Tenant,
    ),
    sqlite: Migrations::new(
        sqlx::migrate!("../migrations/tenant/sqlite"),
        include_str!("../../../migrations/tenant/baseline.sqlite.sql"),
        Schema::Tenant,
    ),
});

impl Schema {
    fn dialects(self) -> &'static Dialects {
        match self {
            Schema::Control => &CONTROL,
            Schema::Tenant => &TENANT,
        }
    }

    pub(super) fn postgres(self) -> &'static Migrations {
        &self.dialects().postgres
    }

    pub(super) fn sqlite(self) -> &'static Migrations {
        &self.dialects().sqlite
    }

    /// The table that records which migrations were applied.
    pub(super) const fn record(self) -> &'static str {
        match self {
            Schema::Control => "polychron_control_migration",
            Schema::Tenant => "polychron_tenant_migration",
        }
    }

    /// Where the tables are in PostgreSQL: in a schema of this name, or where the role's own search
    /// path leads to them.
    pub(super) fn search_path(self, name: Option<&str>) -> SearchPath {
        match name {
            Some(name) => SearchPath::Named(name.to_owned()),
            None => SearchPath::WhereIs(self.record()),
        }
    }

    /// The version that this program was built with.
    pub fn version(self) -> i64 {
        let migrations = self.postgres().all.iter();
        migrations.map(|migration| migration.version).max().unwrap_or_default()
    }
}

/// Refuses a schema that is older than this program, or that this program is too old for.
pub(super) async fn check(db: &Db, schema: Schema) -> Result<()> {
    let built_with = schema.version();
    match read(db, schema).await? {
        (found, _) if found < built_with => Err(StoreError::Schema { found, expected: built_with }),
        (_, minimum) if minimum > built_with => Err(StoreError::TooOld { built_with, minimum }),
        _ => Ok(()),
    }
}

/// A database's version and minimum; 0 when it has no schema of ours.
async fn read(db: &Db, schema: Schema) -> Result<(i64, i64)> {
    let (statement, before_minimum) = match schema {
        Schema::Control => (sql::READ_CONTROL_SCHEMA, sql::READ_CONTROL_VERSION),
        Schema::Tenant => (sql::READ_TENANT_SCHEMA, sql::READ_TENANT_VERSION),
    };
    let found = run_on_either!(db, statement, |text, connection| {
        sqlx::query_as(text).fetch_one(connection)
    });
    match found {
        Err(StoreError::Failed(error)) if is_missing_table(&error) => Ok((0, 0)),
        Err(StoreError::Failed(error)) if is_missing_column(&error) => {
            let version = run_on_either!(db, before_minimum, |text, connection| {
                sqlx::query_scalar(text).fetch_one(connection)
            })?;
            Ok((version, 0))
        }
        found => found,
    }
}

pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    is(error, "42P01", "no such table")
}

fn is_missing_column(error: &sqlx::Error) -> bool {
    is(error, "42703", "no such column")
}

/// PostgreSQL has a code for it, SQLite only the general one.
fn is(error: &sqlx::Error, code: &str, message: &str) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some(code) || error.message().starts_with(message)
    })
}
