//! A tenant's SQLite file is untrusted: its triggers run on our connections, and its bytes may be corrupted
//! on purpose. Whatever it contains costs that tenant an error within seconds.

use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::random::Random;
use shared::store::{Connections, Dispatch, Store, StoreError, chain};
use sqlx::{Connection, SqliteConnection};
use testkit::{Folder, TenantDatabase, eventually_within, execute, try_execute};

/// The store's statement timeout, the wait for a connection and a margin.
const DURATION_MAX: Duration = Duration::from_secs(15);

#[expect(clippy::disallowed_methods, reason = "measures the duration of real statements")]
fn clock() -> Instant {
    Instant::now()
}

/// A number of `/proc/self/status`.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// A tenant whose dispatches run this in a trigger.
async fn with_trigger(body: &str) -> (TenantDatabase, Store) {
    let database = TenantDatabase::sqlite().await;
    let store = database.store();
    let trigger = format!(
        "CREATE TABLE sink (x);
         CREATE TRIGGER hostile AFTER UPDATE ON polychron_identity BEGIN {body}; END"
    );
    database.execute(&trigger).await;
    (database, store)
}

async fn dispatch(database: &TenantDatabase, store: &Store) -> StoreError {
    let began = clock();
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    let dispatched = store.dispatch(&Dispatch::default(), dispatch_no, database.now()).await;
    assert!(began.elapsed() < DURATION_MAX, "{:?}", began.elapsed());
    dispatched.unwrap_err()
}

#[tokio::test]
async fn an_endless_trigger_is_interrupted_and_its_lock_released() {
    let endless = "INSERT INTO sink WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
                   SELECT n FROM r WHERE n < 0";
    let (database, store) = with_trigger(endless).await;
    let neighbour = TenantDatabase::sqlite().await;
    let good = neighbour.store();
    for _ in 0..2 {
        let error = tokio::select! {
            error = dispatch(&database, &store) => error,
            () = async { loop {
                let began = clock();
                good.poll().await.unwrap();
                assert!(began.elapsed() < Duration::from_secs(1));
                tokio::task::yield_now().await;
            } } => unreachable!(),
        };
        assert!(matches!(error, StoreError::Slow(_)), "{}", chain(&error));
        let free = || async { database.try_execute("DELETE FROM sink").await.ok() };
        eventually_within(Duration::from_secs(5), "the lock is free", free).await;
    }
    database.execute("DROP TRIGGER hostile").await;
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    let _ = store.dispatch(&Dispatch::default(), dispatch_no, database.now()).await.unwrap();
}

/// SQLite checks for an interrupt between instructions, and this one takes years.
#[tokio::test]
async fn an_endless_instruction_occupies_one_thread_in_all() {
    let search = "SELECT instr(replace(hex(zeroblob(4000000)), '0', 'a'),
                               replace(hex(zeroblob(2000000)), '0', 'a') || 'b')";
    let (database, _) = with_trigger(search).await;
    let connections = Connections::new(Clock::System, 4);
    let store = Store::new(database.tenant, &database.url, &connections).unwrap();
    store.poll().await.unwrap();
    let before = status("Threads");
    let dispatch_no = store.poll().await.unwrap().dispatch_no;
    for _ in 0..4 {
        let began = clock();
        let attempt = store.dispatch(&Dispatch::default(), dispatch_no, database.now()).await;
        assert!(attempt.is_err() && began.elapsed() < DURATION_MAX);
    }
    assert!(status("Threads") <= before + 2, "{} threads, not {before}", status("Threads"));
    // Nothing can end the threads but the end of the process.
    std::process::exit(0);
}

#[tokio::test]
async fn values_and_statements_of_a_trigger_are_limited() {
    for body in [
        "INSERT INTO sink SELECT hex(zeroblob(400000000))",
        "INSERT INTO sink SELECT group_concat(hex(zeroblob(1000000))) FROM
             (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 400) SELECT n FROM r)",
        "UPDATE polychron_identity SET dispatch_no = dispatch_no + 1;
             INSERT INTO sink SELECT printf('%400000000s', 'x')",
    ] {
        let (database, store) = with_trigger(body).await;
        let before = status("VmHWM");
        let began = clock();
        let dispatch_no = store.poll().await.unwrap().dispatch_no;
        // SQLite makes some of them null, and refuses the others.
        let _ = store.dispatch(&Dispatch::default(), dispatch_no, database.now()).await;
        assert!(began.elapsed() < DURATION_MAX, "{body}: {:?}", began.elapsed());
        assert!(status("VmHWM") - before < 100 << 10, "{body}: {} KiB", status("VmHWM") - before);
    }
}

#[tokio::test]
async fn a_view_in_place_of_a_table_costs_an_error() {
    let (database, store) = with_trigger("SELECT 1").await;
    database
        .execute(
            "ALTER TABLE polychron_job RENAME TO mine;
             CREATE VIEW polychron_job AS
                 WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
                 SELECT mine.* FROM mine, r WHERE r.n < 0",
        )
        .await;
    database.execute("INSERT INTO mine (name, job_type, schedule) VALUES ('a', 'b', '{}')").await;
    let began = clock();
    assert!(store.poll().await.is_err());
    assert!(began.elapsed() < DURATION_MAX);
}

#[tokio::test]
async fn a_damaged_schema_or_file_costs_an_error() {
    for damage in [
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE polychron_job (x' WHERE name = 'polychron_job'",
        "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'polychron_job'",
        "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'polychron_job_execution'",
        "DELETE FROM sqlite_schema WHERE name = 'polychron_identity'",
        "UPDATE sqlite_schema SET type = 'view' WHERE name = 'polychron_job'",
    ] {
        let database = TenantDatabase::sqlite().await;
        let mut session = SqliteConnection::connect(database.url.expose()).await.unwrap();
        let damage = format!("PRAGMA writable_schema = ON; {damage}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(damage)).execute(&mut session).await.unwrap();
        session.close().await.unwrap();
        let store = database.store();
        let _ = store.poll().await;
        let _ = store.list_jobs("", 9).await;
        let _ = store.read_unarmed(9).await;
    }
}

#[tokio::test]
async fn a_file_with_changed_bytes_costs_errors_and_no_panic() {
    let random = Random::seeded(7);
    for _ in 0..60 {
        let folder = Folder::new();
        let original = TenantDatabase::sqlite().await;
        for n in 0..20 {
            original.insert_due_job(&format!("job {n}"), original.now()).await;
        }
        original.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let url = folder.sqlite_database("copy.db");
        let path = folder.path("copy.db");
        let from = original.url.expose().trim_start_matches("sqlite://").to_owned();
        execute(&original.url, &format!("VACUUM INTO '{}'", path.display())).await;
        assert!(std::path::Path::new(&from).exists());
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for _ in 0..40 {
            let at = u64::from_le_bytes(random.bytes()) % length;
            // The first bytes say that it is a database.
            file.seek(SeekFrom::Start(at.max(24))).unwrap();
            file.write_all(&random.bytes::<3>()).unwrap();
        }
        drop(file);
        let connections = Connections::new(Clock::Manual(original.clock.clone()), 4);
        let store = Store::new(original.tenant, &url, &connections).unwrap();
        let now = original.now();
        let _ = store.poll().await;
        let _ = store.read_unarmed(9).await;
        let _ = store.read_due(now, now, &["default".to_owned()], 9).await;
        let _ = store.list_jobs("", 9).await;
        let _ = store.dispatch(&Dispatch::default(), 0, now).await;
    }
}

/// Only the engine's connections are bounded, not the tenant's own.
#[tokio::test]
async fn the_tenants_own_sessions_are_not_bounded() {
    let (database, _) = with_trigger("SELECT 1").await;
    try_execute(&database.url, "INSERT INTO sink VALUES (zeroblob(20000000))").await.unwrap();
}
