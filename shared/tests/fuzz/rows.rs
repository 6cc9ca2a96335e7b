//! Rows of a tenant whose owner has dropped every constraint.
//!
//! An input has a line for each value: `TABLE.COLUMN KIND TEXT`, where the kind is null, integer,
//! real, text or blob.

use std::sync::atomic::{AtomicU64, Ordering};

use polychron_shared::execution::Execution;
use polychron_shared::id::JobId;
use polychron_shared::store::{DbTime, SentBefore, Store};
use testkit::{TenantDatabase, fuzz};

const TABLES: [&str; 2] = ["polychron_job", "polychron_job_execution"];
const WORDS: [&str; 44] = [
    "polychron_job.",
    "polychron_job_execution.",
    "id",
    "name",
    "job_type",
    "payload",
    "schedule",
    "is_enabled",
    "next_run_at",
    "queue",
    "timeout_seconds",
    "max_attempts",
    "misfire_policy",
    "overlap_policy",
    "version",
    "schedule_since",
    "created_at",
    "notify",
    "job_id",
    "scheduled_for",
    "trigger",
    "attempt",
    "status",
    "available_at",
    "started_at",
    "finished_at",
    "lease_until",
    "worker",
    "result",
    "output",
    "progress",
    "stands_for",
    " null ",
    " integer ",
    " real ",
    " text ",
    " blob ",
    "\n",
    "running",
    "success",
    "262142-12-31T23:59:59+00:00",
    "-4713-01-01T00:00:00+00:00",
    "2026-02-30T00:00:00+00:00",
    "{\"cron\": \"* * * * *\"}",
];
static PANICS: AtomicU64 = AtomicU64::new(0);

#[test]
fn fuzz_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let database = runtime.block_on(hostile());
    let store = database.store();
    fuzz("rows", &WORDS, |input| {
        runtime.block_on(async {
            let statements = statements(&String::from_utf8_lossy(input));
            let _ = database.try_execute(&format!("{RESET}; BEGIN; {statements}")).await;
            database.execute("COMMIT").await;
            let did = read(&store, database.now()).await;
            let panics = PANICS.swap(0, Ordering::Relaxed);
            assert_eq!(panics, 0, "a panic was caught");
            did
        })
    });
}

const RESET: &str = "DELETE FROM polychron_job; INSERT INTO polychron_job SELECT * FROM good_job;
    DELETE FROM polychron_job_execution; INSERT INTO polychron_job_execution SELECT * FROM good_job_execution";

/// A tenant's database whose tables accept anything anywhere, with a good job and an evil one, and an
/// execution of each.
async fn hostile() -> TenantDatabase {
    let database = TenantDatabase::sqlite().await;
    for job in ["good", "evil"] {
        let id = database.insert_job(job).await;
        let execution = database.execution_id();
        database
            .execute(&format!(
                "INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status)
                 VALUES ('{execution}', {}, '2026-11-24T12:00:00+00:00', 'schedule', 'scheduled')",
                id.0
            ))
            .await;
    }
    for table in TABLES {
        let good = table.replace("polychron", "good");
        let names = format!("SELECT group_concat(name) FROM pragma_table_info('{table}')");
        let names = database.text(&names).await;
        database
            .execute(&format!(
                "CREATE TABLE {good} AS SELECT * FROM {table} ORDER BY rowid; DROP TABLE {table};
                 CREATE TABLE {table} ({names}); "
            ))
            .await;
    }
    database.execute(RESET).await;
    database.execute("PRAGMA synchronous = OFF").await;
    database
}

/// Statements that write the values into the evil job and its execution.
fn statements(input: &str) -> String {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut statements = String::new();
    for line in input.lines().take(40) {
        let mut words = line.splitn(3, ' ');
        let (Some(place), Some(kind)) = (words.next(), words.next()) else { continue };
        let text = words.next().unwrap_or_default();
        let Some((table, column)) = place.split_once('.') else { continue };
        if !TABLES.contains(&table) || !WORDS.contains(&column) {
            continue;
        }
        let value = match kind {
            "null" => "NULL".to_owned(),
            "integer" => text.parse::<i64>().unwrap_or(i64::MAX).to_string(),
            "real" if text.parse::<f64>().is_ok_and(f64::is_finite) => format!("{text}+0.0"),
            "real" => "-9e999".to_owned(),
            "blob" => format!("x'{}'", hex(text)),
            _ => format!("CAST(x'{}' AS TEXT)", hex(text)),
        };
        statements += &format!("UPDATE {table} SET \"{column}\" = {value} WHERE rowid = 2; ");
    }
    statements
}

/// Reads everything that any process reads; returns what could be read.
async fn read(store: &Store, now: DbTime) -> String {
    let before = SentBefore { dispatched: now, published: [now; 5] };
    let jobs = store.list_jobs("", 100).await;
    let executions = store.list_executions(&Default::default(), 100).await;
    let queues = ["default".to_owned()];
    let others = [
        store.poll().await.is_ok(),
        store.read_unarmed(10).await.is_ok(),
        store.read_due(now, now, &queues, 10).await.is_ok(),
        store.read_waiting(now, &queues, 10).await.is_ok(),
        store.read_unclaimed(&before, 10).await.is_ok(),
        store.summarize_jobs().await.is_ok(),
        store.list_quarantined(10).await.is_ok(),
        store.count_due(now, 10).await.is_ok(),
        store.plan_load(JobId(0), 10).await.is_ok(),
        store.next_history(JobId(0)).await.is_ok(),
        store.list_recent(now, 10).await.is_ok(),
        store.list_open(&Default::default(), 10).await.is_ok(),
    ];
    // One odd row hides no other.
    assert!(jobs.unwrap().iter().any(|job| job.name == "good"));
    let good = |row: &Execution| row.job_name.as_deref() == Some("good");
    assert!(executions.unwrap().iter().any(good));
    format!("{others:?}")
}
