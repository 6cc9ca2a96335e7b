//! Each statement of the hot path uses an index, so its cost does not grow with the history.

use shared::clock::Clock;
use shared::id::ExecutionId;
use shared::output::Report;
use shared::store::sql::TENANT;
use shared::store::{Connections, Planning, Store};
use testkit::{TenantDatabase, eventually};

use super::{LEASE, dispatched, end, failure, success, terms};

on_both_stores! {
    no_statement_scans_the_history,
}

async fn no_statement_scans_the_history(database: TenantDatabase) {
    fill(&database, 100_000, 100).await;
    for analyzed in [false, true] {
        if analyzed {
            database.execute("ANALYZE").await;
        }
        for (name, arguments) in HOT {
            let statement = TENANT.iter().find(|statement| statement.name == *name).unwrap();
            let text = if database.is_sqlite() { statement.sqlite } else { statement.postgres };
            if text.is_empty() {
                continue;
            }
            let plan = database.plan(text, arguments).await;
            // A subquery that a LIMIT bounds may be read whole.
            let bounded = plan.contains("CO-ROUTINE e");
            let whole =
                plan.lines().find(|line| is_scan(line) && !(bounded && line.trim() == "SCAN e"));
            assert!(whole.is_none(), "{name}, analyzed {analyzed}:\n{plan}");
        }
    }
}

/// A consumer's statements are planned once, possibly before the tables have statistics or while the
/// statistics show small tables.
#[tokio::test]
async fn plans_made_for_small_tables_never_scan_large_ones() {
    for counted in [false, true] {
        let database = TenantDatabase::postgres().await;
        let (early, late) = (rows(&database, "early").await, rows(&database, "late").await);
        if counted {
            database.execute("ANALYZE").await;
        }
        let clock = Clock::Manual(database.clock.clone());
        let connections = Connections::new(clock, 4).planned(Planning::ByKeysOnce);
        let store = Store::new(database.tenant, &database.url, &connections).unwrap();
        consume(&database, &store, &early).await;
        database
            .execute(
                "WITH crowd AS (
                     INSERT INTO polychron_job (name, job_type, schedule)
                     SELECT 'crowd ' || n, 'noop', '{\"every\": \"1h\"}' FROM generate_series(1, 5000) AS n RETURNING id
                 )
                 INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, dispatched_at)
                 SELECT gen_random_uuid(), id, now(), 'schedule', 'dispatched', now() FROM crowd",
            )
            .await;

        let before = rows_read(&database).await;
        consume(&database, &store, &late).await;
        close(&database, &store).await;
        let read = rows_read(&database).await - before;
        assert!((10..500).contains(&read), "{read} rows were read, counted {counted}");
    }
}

/// A producer's plans use the index even without statistics and if all rows are due.
#[tokio::test]
async fn only_a_batch_of_thousands_of_due_jobs_is_read() {
    let database = TenantDatabase::postgres().await;
    database
        .execute(
            "INSERT INTO polychron_job (name, job_type, schedule, next_run_at)
             SELECT 'job ' || n, 'noop', '{\"every\": \"1h\"}', '2026-01-01' FROM generate_series(1, 5000) AS n",
        )
        .await;
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 4);
    let connections = connections.planned(Planning::ByKeys);
    let store = Store::new(database.tenant, &database.url, &connections).unwrap();
    let before = rows_read(&database).await;
    let (now, queues) = (database.now(), ["default".to_owned()]);
    assert_eq!(store.read_due(now, now, &queues, 100).await.unwrap().len(), 100);
    close(&database, &store).await;
    let read = rows_read(&database).await - before;
    assert!((100..500).contains(&read), "{read} rows were read");
}

/// Ends the store's sessions, because a session reports its statistics then.
async fn close(database: &TenantDatabase, store: &Store) {
    store.close_idle();
    eventually("its session is over", || async {
        let sessions = "SELECT count(*)::text FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name = 'polychron'";
        (database.text(sessions).await == "0").then_some(())
    })
    .await;
}

/// Dispatched rows of three jobs, the last of which has `max_attempts = 1`.
async fn rows(database: &TenantDatabase, name: &str) -> Vec<ExecutionId> {
    let store = database.store();
    let mut rows = Vec::new();
    for n in 1..=3 {
        rows.push(dispatched(database, &store, &format!("{name} {n}")).await);
    }
    let last = format!(
        "UPDATE polychron_job SET max_attempts = 1, notify = '{{}}' WHERE name = '{name} 3'"
    );
    database.execute(&last).await;
    rows
}

/// Everything that a consumer does with rows: one succeeds, one is retried, one fails permanently.
async fn consume(database: &TenantDatabase, store: &Store, rows: &[ExecutionId]) {
    let now = database.now();
    let mut claims = store.claim(rows, &terms("w"), now).await.unwrap();
    claims.sort_by_key(|claim| claim.name.clone());
    assert_eq!(store.heartbeat(rows, "w", LEASE, now).await.unwrap().len(), 3);
    store.report(&[(rows[0], Report::default())], "w").await.unwrap();
    for (claim, outcome) in claims.iter().zip([success(), failure(), failure()]) {
        let end = end(database, claim, "w", &outcome);
        assert_eq!(store.finish(&[end], now).await.unwrap().len(), 1);
        assert!(store.find_execution(claim.id).await.unwrap().is_some());
    }
}

/// How many jobs, executions and index entries PostgreSQL has read so far.
async fn rows_read(database: &TenantDatabase) -> i64 {
    let counted = "SELECT ((SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('polychron_job', 'polychron_job_execution'))
                         + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('polychron_job', 'polychron_job_execution')))::text";
    database.text(counted).await.parse().unwrap()
}

/// Whether a line of a plan scans `polychron_job_execution`, under any alias.
fn is_scan(line: &str) -> bool {
    let aliases = ["SCAN polychron_job_execution", "SCAN e", "SCAN o", "SCAN p", "SCAN w"];
    let is_scan = |scan: &&str| line == *scan || line.starts_with(&format!("{scan} "));
    line.contains("Seq Scan on polychron_job_execution")
        || (aliases.iter().any(is_scan)
            && !line.contains("USING INDEX polychron_job_execution_open"))
}

/// The statements of every poll, dispatch, claim, heartbeat and finish, and those of pages.
const HOT: &[(&str, &str)] = &[
    ("tenant/poll", ""),
    ("tenant/read_due", "now(), now(), ',default,', 100, 60, '{}'"),
    ("tenant/read_waiting", "now(), ',default,', 100"),
    ("tenant/read_unclaimed", "now(), now(), now(), now(), now(), now(), 100"),
    ("tenant/read_expired", "now(), 100"),
    (
        "tenant/dispatch",
        "1, now(), '{1}', '{1}', ARRAY[now()], ARRAY[now()], ARRAY[gen_random_uuid()], '{1}', ARRAY[now()], '{dispatched}', '{1}', '{null}', '{null}', ARRAY[gen_random_uuid()]",
    ),
    (
        "tenant/dispatch_unlocked",
        "1, now(), '{1}', '{1}', ARRAY[now()], ARRAY[now()], ARRAY[gen_random_uuid()], '{1}', ARRAY[now()], '{dispatched}', '{1}', '{null}', '{null}', ARRAY[gen_random_uuid()]",
    ),
    ("tenant/insert_occurrence", ""),
    ("tenant/release_waiting", ""),
    ("tenant/mark_published", "ARRAY[gen_random_uuid(), gen_random_uuid()], now()"),
    ("tenant/sweep", "ARRAY[gen_random_uuid(), gen_random_uuid()], '{1,1}', now()"),
    (
        "tenant/claim",
        "ARRAY[gen_random_uuid(), gen_random_uuid()], 'w', now(), now(), 60, '{default}'",
    ),
    ("tenant/read_claimed", ""),
    ("tenant/heartbeat", "ARRAY[gen_random_uuid(), gen_random_uuid()], 'w', now(), now()"),
    (
        "tenant/finish",
        "ARRAY[gen_random_uuid(), gen_random_uuid()], '{w,w}', '{failed,failed}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', ARRAY[gen_random_uuid(), gen_random_uuid()], '{retry,retry}', ARRAY[now(), now()], now(), NULL",
    ),
    (
        "tenant/finish_last",
        "ARRAY[gen_random_uuid(), gen_random_uuid()], '{w,w}', '{success,success}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', '{null,null}', now()",
    ),
    ("tenant/insert_next_attempt", ""),
    // What goes beside it.
    ("tenant/read_unstarted", "now(), 100"),
    ("tenant/read_alert_state", "NULL, gen_random_uuid()"),
    ("tenant/list_late", ""),
    ("tenant/next_history", "1"),
    ("tenant/prune", "1, 10, 1000, now(), now(), 500"),
    ("tenant/find_execution", "gen_random_uuid()"),
    // The statements of pages.
    ("tenant/list_executions", "gen_random_uuid(), NULL, NULL, 50"),
    ("tenant/list_open", "gen_random_uuid(), NULL, NULL, 500"),
    ("tenant/list_window", "gen_random_uuid(), 'failed', 2000, 50"),
    ("tenant/find_window_end", "gen_random_uuid(), 1999"),
    ("tenant/list_recent", "gen_random_uuid(), 500"),
    ("tenant/list_runs", "1, gen_random_uuid(), 'failed', 2000, 50"),
    ("tenant/find_runs_end", "1, gen_random_uuid(), 1999"),
    ("tenant/list_attempts", "gen_random_uuid(), 50"),
    ("tenant/plan_load", "0, 1000"),
];

/// Ten jobs with a long history and some open rows.
pub(super) async fn fill(database: &TenantDatabase, history: i64, open: i64) {
    let (numbers, id, time) = if database.is_sqlite() {
        (
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $N)",
            "printf('%08x-0000-7000-8000-000000000000', n)",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 1700000000 + n, 'unixepoch')",
        )
    } else {
        (
            "WITH numbers(n) AS (SELECT generate_series(1, $N))",
            "(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid",
            "to_timestamp(1700000000 + n)",
        )
    };
    for n in 1..=10 {
        database.insert_due_job(&format!("job {n}"), database.now()).await;
    }
    let numbers = numbers.replace("$N", &(history + open).to_string());
    database
        .execute(&format!(
            "{numbers}
             INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, dispatched_at, finished_at, started_at,
                                        lease_until, deadline_at, worker)
             SELECT {id}, n % 10 + 1, {time}, 'schedule',
                    CASE WHEN n <= {history} THEN 'success' WHEN n % 2 = 0 THEN 'running' ELSE 'dispatched' END,
                    {time}, CASE WHEN n <= {history} THEN {time} END, {time}, {time}, {time}, 'w'
             FROM numbers"
        ))
        .await;
}
