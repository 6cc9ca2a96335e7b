//! Migrations are idempotent, safe to run concurrently, and report what went wrong.

use std::sync::Arc;

use shared::clock::{Clock, ManualClock};
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::random::Random;
use shared::store::{Connections, Control, Migrated, Schema, Store, StoreError, chain, migrate};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use testkit::{Folder, postgres_database};

/// An empty database and, for SQLite, its folder.
struct Empty(
    DatabaseUrl,
    #[expect(dead_code, reason = "removes the folder at the end")] Option<Folder>,
);

impl Empty {
    async fn postgres() -> Empty {
        Empty(postgres_database().await, None)
    }

    async fn sqlite() -> Empty {
        let folder = Folder::new();
        Empty(folder.sqlite_database("x.db"), Some(folder))
    }

    async fn execute(&self, sql: &str) {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        if self.0.is_sqlite() {
            let path = format!("{}?mode=rwc", self.0.expose());
            statement.execute(&mut SqliteConnection::connect(&path).await.unwrap()).await.unwrap();
        } else {
            statement
                .execute(&mut PgConnection::connect(self.0.expose()).await.unwrap())
                .await
                .unwrap();
        }
    }

    fn store(&self) -> Store {
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        let connections = Connections::new(Clock::Manual(ManualClock::new(time)), 4);
        Store::new(TenantId::new(time, &Random::seeded(1)), &self.0, &connections).unwrap()
    }

    fn control(&self) -> Control {
        Control::new(&self.0, &Connections::new(Clock::System, 4)).unwrap()
    }
}

macro_rules! on_both_databases {
    ($($case:ident),+ $(,)?) => {
        mod postgres {
            $( #[tokio::test] async fn $case() { super::$case(super::Empty::postgres().await).await } )+
        }
        mod sqlite {
            $( #[tokio::test] async fn $case() { super::$case(super::Empty::sqlite().await).await } )+
        }
    };
}

on_both_databases! {
    a_migration_can_be_repeated,
    both_schemas_fit_into_one_database,
    one_of_many_callers_migrates_and_all_succeed,
    a_failed_migration_says_why_and_leaves_no_lock,
    an_older_schema_is_rejected_and_a_newer_one_accepted,
}

async fn a_migration_can_be_repeated(empty: Empty) {
    let latest = Schema::Tenant.version();
    assert!(latest >= 1);
    let within = (!empty.0.is_sqlite()).then(|| "public".to_owned());
    for from in [0, latest, latest] {
        assert_eq!(
            migrate(&empty.0, Schema::Tenant).await.unwrap(),
            Migrated { from, to: latest, within: within.clone() }
        );
    }
    let store = empty.store();
    assert!(store.set_owner().await.unwrap().is_applied());
    assert!(store.poll().await.is_ok());
    migrate(&empty.0, Schema::Tenant).await.unwrap();
    assert!(store.poll().await.is_ok());
}

async fn both_schemas_fit_into_one_database(empty: Empty) {
    empty.execute("SELECT 1").await; // creates the SQLite file
    let control = empty.control();
    assert!(matches!(control.check_schema().await, Err(StoreError::Schema { found: 0, .. })));
    for schema in [Schema::Control, Schema::Tenant] {
        assert_eq!(migrate(&empty.0, schema).await.unwrap().from, 0);
    }
    control.check_schema().await.unwrap();
    assert!(control.list_tenants().await.unwrap().is_empty());
    assert!(matches!(empty.store().poll().await, Err(StoreError::Unowned)));
}

async fn one_of_many_callers_migrates_and_all_succeed(empty: Empty) {
    let empty = Arc::new(empty);
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let empty = empty.clone();
            let schema = if n % 2 == 0 { Schema::Tenant } else { Schema::Control };
            tokio::spawn(async move { (schema, migrate(&empty.0, schema).await.unwrap().from) })
        })
        .collect();
    let mut migrated = Vec::new();
    for caller in callers {
        migrated.push(caller.await.unwrap());
    }
    for schema in [Schema::Tenant, Schema::Control] {
        let from: Vec<i64> =
            migrated.iter().filter(|(of, _)| *of == schema).map(|(_, from)| *from).collect();
        assert_eq!(from.iter().filter(|from| **from == 0).count(), 1, "{schema:?}: {from:?}");
    }
}

async fn a_failed_migration_says_why_and_leaves_no_lock(empty: Empty) {
    empty.execute("CREATE TABLE polychron_job_execution (mine text)").await;
    let error = migrate(&empty.0, Schema::Tenant).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("polychron_job_execution") && text.contains("already exists"), "{text}");
    let found = empty.store().poll().await;
    assert!(
        matches!(found, Err(StoreError::Schema { found: 0, expected }) if expected == Schema::Tenant.version())
    );
    if !empty.0.is_sqlite() {
        let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                     WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        let mut connection = PgConnection::connect(empty.0.expose()).await.unwrap();
        let held: i64 = sqlx::query_scalar(locks).fetch_one(&mut connection).await.unwrap();
        assert_eq!(held, 0);
    }
    // The failed attempt has left nothing behind.
    empty.execute("DROP TABLE polychron_job_execution").await;
    assert_eq!(migrate(&empty.0, Schema::Tenant).await.unwrap().from, 0);
}

async fn an_older_schema_is_rejected_and_a_newer_one_accepted(empty: Empty) {
    let within = migrate(&empty.0, Schema::Tenant).await.unwrap().within;
    assert!(empty.store().set_owner().await.unwrap().is_applied());
    let (latest, record) = (Schema::Tenant.version(), "polychron_tenant_migration");
    empty
        .execute(&format!(
            "INSERT INTO {record} (version, description, success, checksum, execution_time)
             VALUES ({}, 'newer', true, '', 0)",
            latest + 1
        ))
        .await;
    assert!(empty.store().poll().await.is_ok());
    assert_eq!(
        migrate(&empty.0, Schema::Tenant).await.unwrap(),
        Migrated { from: latest + 1, to: latest + 1, within }
    );
    empty.execute(&format!("DELETE FROM {record} WHERE version >= {latest}")).await;
    let error = empty.store().poll().await.unwrap_err();
    assert!(error.to_string().contains("polychron migrate"), "{error}");
    assert!(
        matches!(error, StoreError::Schema { found, expected } if found < expected && expected == latest)
    );
}

/// Another session's transaction makes a migration wait, and everybody behind it: for 2 s at a time.
#[tokio::test]
async fn a_migration_that_another_session_blocks_is_tried_again_and_then_names_it() {
    let empty = Empty::postgres().await;
    migrate(&empty.0, Schema::Tenant).await.unwrap();
    let last = format!(
        "DELETE FROM polychron_tenant_migration WHERE version = {}",
        Schema::Tenant.version()
    );
    empty.execute(&last).await;
    let mut session = PgConnection::connect(empty.0.expose()).await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    let lock = "BEGIN; LOCK TABLE polychron_tenant_migration IN EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut session).await.unwrap();
    let error = migrate(&empty.0, Schema::Tenant).await.unwrap_err().to_string();
    let expected = format!("polychron_tenant_migration is in use by session {pid}");
    assert!(error.contains(&expected), "{error}");

    let url = empty.0.clone();
    let migration = tokio::spawn(async move { migrate(&url, Schema::Tenant).await });
    let waits = "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE d.datname = current_database() AND NOT l.granted";
    for is_waiting in [true, false] {
        testkit::eventually("the migration waits, and then lets others pass", || async {
            let mut other = PgConnection::connect(empty.0.expose()).await.unwrap();
            let found = sqlx::raw_sql(waits).fetch_optional(&mut other).await.unwrap();
            (found.is_some() == is_waiting).then_some(())
        })
        .await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut session).await.unwrap();
    migration.await.unwrap().unwrap();
}

/// A process that dies while it migrates must not block the next one.
#[tokio::test]
async fn an_aborted_migration_releases_its_lock() {
    let empty = Empty::postgres().await;
    for _ in 0..10 {
        let url = empty.0.clone();
        let migration = tokio::spawn(async move { migrate(&url, Schema::Tenant).await });
        tokio::task::yield_now().await;
        migration.abort();
    }
    migrate(&empty.0, Schema::Tenant).await.unwrap();
    assert!(matches!(empty.store().poll().await, Err(StoreError::Unowned)));
}

/// A file is migrated so quickly that it takes many callers for some to overlap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_is_migrated_once_by_concurrent_callers() {
    for _ in 0..15 {
        let empty = Empty::sqlite().await;
        empty.execute("PRAGMA journal_mode = WAL").await;
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let url = empty.0.clone();
                tokio::spawn(async move { migrate(&url, Schema::Tenant).await.unwrap().from })
            })
            .collect();
        let mut from = Vec::new();
        for caller in callers {
            from.push(caller.await.unwrap());
        }
        assert_eq!(from.iter().filter(|from| **from == 0).count(), 1, "{from:?}");
    }
}

/// Applications insert jobs with their own version of SQLite, which evaluates the table's
/// constraints. Those may use only functions of 3.37, the first version with strict tables. Before
/// 3.45, `json_valid(NULL)` was 0 instead of NULL, so constraints of nullable columns must check for
/// null.
#[test]
fn old_versions_of_sqlite_can_write_a_tenants_file() {
    const SINCE_3_37: &[&str] = &[
        "CAST",
        "CHECK",
        "IN",
        "cast",
        "date",
        "datetime",
        "json_type",
        "json_valid",
        "length",
        "strftime",
        "substr",
    ];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/tenant/sqlite");
    let mut calls = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let code = text.lines().filter_map(|line| line.split("--").next()).collect::<String>();
        for (at, _) in code.match_indices('(') {
            let name = code[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
            // A parenthesis after a blank begins a list, not the arguments of a call.
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                assert!(SINCE_3_37.contains(&name), "{name} may be newer than SQLite 3.37");
                calls += 1;
                let (column, before) = (&code[at + 1..], &code[..at]);
                let column = column.split(')').next().unwrap_or_default();
                let definition = before.rsplit([',', ';']).next().unwrap_or_default();
                let may_be_null = format!("{column} IS NULL OR {name}");
                assert!(
                    name != "json_valid"
                        || definition.contains("NOT NULL")
                        || before.ends_with(&may_be_null),
                    "{column} may be null"
                );
            }
        }
    }
    assert!(calls > 10, "{calls}");
}
