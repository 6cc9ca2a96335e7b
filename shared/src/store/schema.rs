//! The two schemas: their embedded migrations, the baselines for new databases, and the check whether this
//! program can use a schema.
//!
//! Migrations only add, so older programs work with a newer schema. A migration that breaks them raises the
//! *minimum*, the lowest schema version that a program must have been built with. So a program accepts each
//! schema that is at least as new as itself and whose minimum it reaches.

use std::sync::LazyLock;

use sqlx::migrate::{AppliedMigration, Migration, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::db::{Db, run_on_either};
use super::error::{Result, StoreError};
use super::session::SearchPath;
use super::sql::{self, Sql};

/// The version at which a new database starts. Earlier migrations use table names without our prefix, which
/// may be the application's tables. So a new database gets a script that creates the prefixed tables.
pub(super) const BASELINE: i64 = 4;

/// One of the two schemas. Each has its own table of applied migrations, so one database can contain both,
/// and an application's tables as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The list of tenants.
    Control,
    /// One tenant's jobs.
    Tenant,
}

/// A schema's migrations in one dialect.
pub(super) struct Migrations {
    /// All migrations, for a database that has some of them already.
    pub(super) all: Migrator,
    /// The baseline, which is recorded as the migration that leads to the same state.
    pub(super) baseline: Migration,
}

impl Migrations {
    fn new(mut all: Migrator, baseline: &'static str, schema: Schema) -> Migrations {
        all.dangerous_set_table_name(schema.record());
        all.set_ignore_missing(true);
        for migration in all.migrations.to_mut() {
            if !migration.sql.as_str().is_ascii() {
                let text = without_comments(migration.sql.as_str());
                migration.sql = AssertSqlSafe(text).into_sql_str();
            }
        }
        #[expect(clippy::expect_used, reason = "the migrations are compiled in")]
        let last = all.iter().find(|one| one.version == BASELINE).expect("the baseline's version");
        let baseline = Migration { sql: AssertSqlSafe(baseline).into_sql_str(), ..last.clone() };
        Migrations { all, baseline }
    }

    /// Whether these applied migrations include all of ours, with the same checksums.
    pub(super) fn is_complete(&self, applied: &[AppliedMigration]) -> bool {
        self.all.iter().all(|ours| {
            let is_same = |one: &&AppliedMigration| one.version == ours.version;
            applied.iter().find(is_same).is_some_and(|one| one.checksum == ours.checksum)
        })
    }
}

/// A script without the lines that are comments: a database whose encoding lacks one of their characters
/// refuses the whole script. The checksum stays that of the file.
fn without_comments(script: &str) -> String {
    let lines = script.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.fold(String::new(), |text, line| text + line + "\n")
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
        concat!(
            include_str!("../../../migrations/tenant/leftovers.postgres.sql"),
            include_str!("../../../migrations/tenant/baseline.postgres.sql"),
        ),
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

    /// The table of applied migrations.
    pub(super) const fn record(self) -> &'static str {
        match self {
            Schema::Control => "polychron_control_migration",
            Schema::Tenant => "polychron_tenant_migration",
        }
    }

    /// The statement that fails if a table is missing.
    pub(super) fn tables(self) -> Sql {
        match self {
            Schema::Control => sql::READ_CONTROL_TABLES,
            Schema::Tenant => sql::READ_TENANT_TABLES,
        }
    }

    /// Where the tables are in PostgreSQL: in the schema with this name, or where the role's search path
    /// leads to them.
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

/// Checks that the schema is not older than this program, and that the program is not too old for it.
pub(super) async fn check(db: &Db, schema: Schema) -> Result<()> {
    let built_with = schema.version();
    match read(db, schema).await? {
        (found, _) if found < built_with => Err(StoreError::Schema { found, expected: built_with }),
        (_, minimum) if minimum > built_with => Err(StoreError::TooOld { built_with, minimum }),
        _ => Ok(()),
    }
}

/// A database's version and minimum; 0 if it has no schema of ours.
async fn read(db: &Db, schema: Schema) -> Result<(i64, i64)> {
    let (statement, before_minimum) = match schema {
        Schema::Control => (sql::READ_CONTROL_SCHEMA, sql::READ_CONTROL_VERSION),
        Schema::Tenant => (sql::READ_TENANT_SCHEMA, sql::READ_TENANT_VERSION),
    };
    let found = run_on_either!(db, statement, |text, connection| {
        sqlx::query_as(text).fetch_one(connection)
    });
    match found {
        Err(StoreError::MissingTable(_)) => Ok((0, 0)),
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

/// Whether it is the error with this SQLSTATE in PostgreSQL, or with this message in SQLite, which has only
/// a general code.
fn is(error: &sqlx::Error, code: &str, message: &str) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some(code) || error.message().starts_with(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with another encoding than UTF8 must be able to read them.
    #[test]
    fn every_migration_is_sent_in_ascii() {
        for dialects in [&*CONTROL, &*TENANT] {
            for Migrations { all, baseline } in [&dialects.postgres, &dialects.sqlite] {
                for migration in all.iter().chain([baseline]) {
                    assert!(migration.sql.as_str().is_ascii(), "{}", migration.version);
                    assert!(!migration.sql.as_str().trim().is_empty(), "{}", migration.version);
                }
            }
        }
    }
}
