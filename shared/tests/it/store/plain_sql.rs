//! What a tenant's application may do in its tables by plain SQL, and what the tables reject.

use shared::execution::{ErrorKind, Status};
use shared::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};
use testkit::TenantDatabase;

use super::{claimed, dispatched, end, failure};

on_both_stores! {
    three_columns_are_enough_for_a_job,
    invalid_updates_are_rejected,
    invalid_inserts_are_rejected,
    possibly_valid_values_are_accepted,
    an_edit_of_schedule_or_is_enabled_rearms_the_job,
    other_edits_do_not_rearm_the_job,
    deleting_a_job_cancels_its_open_executions,
    a_job_deleted_while_its_attempt_fails_leaves_nothing_open,
}

async fn three_columns_are_enough_for_a_job(database: TenantDatabase) {
    let store = database.store();
    database
        .execute(r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{"cron": "0 2 * * *"}')"#)
        .await;
    let job = store.find_job("a").await.unwrap().unwrap();
    assert_eq!((job.payload, job.is_enabled, job.next_run_at), (serde_json::json!({}), true, None));
    assert_eq!((job.queue.as_str(), job.timeout_seconds), ("default", None));
    assert_eq!((job.max_attempts, job.retry_base_seconds, job.misfire_grace_seconds), (3, 10, 60));
    assert_eq!(
        (job.misfire_policy, job.overlap_policy),
        (MisfirePolicy::RunOnce, OverlapPolicy::Skip)
    );
    assert_eq!((job.orphan_policy, job.version), (OrphanPolicy::Retry, 1));
    assert_eq!((job.schedule_since, job.quarantined_reason), (None, None));
    assert_eq!(job.created_at, job.updated_at);
    assert!(store.poll().await.unwrap().has_unarmed);
}

async fn invalid_updates_are_rejected(database: TenantDatabase) {
    database.insert_job("a").await;
    let long = "x".repeat(65_536);
    let large = format!("payload = '{{\"a\":\"{long}\"}}'");
    let schedule = format!("schedule = '{{\"a\":\"{}\"}}'", "x".repeat(4096));
    let name = format!("name = '{}'", "x".repeat(201));
    let notify = format!("notify = '{{\"url\":\"{}\"}}'", "x".repeat(4096));
    for set in [
        "payload = 'not JSON'",
        "payload = NULL",
        &large,
        "schedule = 'not JSON'",
        "schedule = '[]'",
        "schedule = '1'",
        "schedule = NULL",
        &schedule,
        "misfire_policy = 'run'",
        "misfire_policy = NULL",
        "misfire_policy = 'RUN_ONCE'",
        "overlap_policy = ''",
        "orphan_policy = 'retry '",
        "is_enabled = NULL",
        "queue = ''",
        "queue = 'a,b'",
        "queue = 'ä'",
        "queue = 'A'",
        "queue = 'a.b'",
        "name = ''",
        "name = NULL",
        &name,
        "job_type = ''",
        "job_type = NULL",
        "timeout_seconds = 0",
        "timeout_seconds = -1",
        "timeout_seconds = 2592001",
        "max_attempts = 0",
        "max_attempts = 101",
        "retry_base_seconds = -1",
        "retry_base_seconds = 3601",
        "misfire_grace_seconds = 0",
        "misfire_grace_seconds = 31536001",
        "version = 0",
        "version = 2147483648",
        "version = NULL",
        "next_run_at = 'infinity'",
        "next_run_at = '-infinity'",
        "next_run_at = 'NaN'",
        "next_run_at = 'tomorrow, perhaps'",
        "next_run_at = '2026-02-30T00:00:00+00:00'",
        "next_run_at = '12026-02-03T00:00:00+00:00'",
        "schedule_since = 'infinity'",
        "created_at = 'infinity'",
        "updated_at = '-infinity'",
        "notify = 'not JSON'",
        "notify = '[]'",
        &notify,
    ] {
        let refused = database.try_execute(&format!("UPDATE polychron_job SET {set}")).await;
        assert!(refused.is_err(), "{}", &set[..set.len().min(60)]);
    }
    let refused =
        database.try_execute("UPDATE polychron_job SET overlap_policy = 'wait'").await.unwrap_err();
    assert!(refused.contains("overlap_policy is skip, queue or allow"), "{refused}");
    let twice = r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{}')"#;
    assert!(database.try_execute(twice).await.is_err());
}

async fn invalid_inserts_are_rejected(database: TenantDatabase) {
    let large = format!("'{{}}', '{{\"a\":\"{}\"}}'", "x".repeat(65_536));
    for (columns, values) in [
        ("schedule", "'[]'"),
        ("schedule, queue", "'{}', 'A'"),
        ("schedule, notify", "'{}', '[]'"),
        ("schedule, payload", &large),
    ] {
        let insert = format!(
            "INSERT INTO polychron_job(name, job_type, {columns}) VALUES ('b', 'noop', {values})"
        );
        assert!(database.try_execute(&insert).await.is_err(), "{columns}");
    }
}

async fn possibly_valid_values_are_accepted(database: TenantDatabase) {
    database.insert_job("a").await;
    for set in [
        "updated_at = CURRENT_TIMESTAMP",
        "payload = '[1, null]'",
        "payload = 'null'",
        "timeout_seconds = NULL",
        "queue = 'a_b-0'",
        "next_run_at = '2026-02-28T23:59:59.999999+00:00'",
        "next_run_at = '9999-12-31T23:59:59+00:00'",
        "next_run_at = '1970-01-01T00:00:00+00:00'",
        "next_run_at = '1969-12-31T23:59:59.5+00:00'",
    ] {
        assert_eq!(database.execute(&format!("UPDATE polychron_job SET {set}")).await, 1, "{set}");
    }
    assert_eq!(database.store().list_jobs("", 9).await.unwrap().len(), 1);
}

async fn an_edit_of_schedule_or_is_enabled_rearms_the_job(database: TenantDatabase) {
    let store = database.store();
    database.insert_due_job("a", database.now()).await;
    for (n, set) in [
        r#"schedule = '{"every":"2m"}'"#,
        "is_enabled = false",
        "is_enabled = true",
        r#"is_enabled = false, schedule = '{"every":"3m"}'"#,
        r#"is_enabled = true, version = 77, next_run_at = '2026-01-01T00:00:00+00:00'"#,
    ]
    .into_iter()
    .enumerate()
    {
        database.execute(
            "UPDATE polychron_job SET quarantined_reason = 'no', next_run_at = '2026-01-01T00:00:00+00:00',
                            schedule_since = '2026-01-01T00:00:00+00:00'"
        ).await;
        assert_eq!(database.execute(&format!("UPDATE polychron_job SET {set}")).await, 1);
        let job = store.find_job("a").await.unwrap().unwrap();
        assert_eq!(job.version, 2 + n as i32, "{set}");
        assert_eq!(
            (job.next_run_at, job.schedule_since, job.quarantined_reason),
            (None, None, None),
            "{set}"
        );
    }
}

async fn other_edits_do_not_rearm_the_job(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    database.insert_due_job("a", now).await;
    for set in [
        "payload = '[]'",
        "name = 'b'",
        "max_attempts = 9",
        "queue = 'mail'",
        r#"schedule = '{"every":"1m"}'"#,
        "is_enabled = true",
    ] {
        assert_eq!(database.execute(&format!("UPDATE polychron_job SET {set}")).await, 1);
    }
    let job = store.find_job("b").await.unwrap().unwrap();
    assert_eq!(
        (job.version, job.next_run_at, job.schedule_since),
        (1, Some(now.time()), Some(now.time()))
    );
}

async fn deleting_a_job_cancels_its_open_executions(database: TenantDatabase) {
    let store = database.store();
    let running = claimed(&database, &store, "a", "w").await;
    let kept = dispatched(&database, &store, "kept").await;
    let waits = database.execution_id();
    assert!(
        store.run_job("a", waits, None, database.now() + super::MINUTE).await.unwrap().is_applied()
    );
    let over = claimed(&database, &store, "over", "w").await;
    store.finish(&[end(&database, &over, "w", &super::success())], database.now()).await.unwrap();
    assert_eq!(database.execute("DELETE FROM polychron_job WHERE name <> 'kept'").await, 2);
    let row = store.find_execution(waits).await.unwrap().unwrap();
    assert_eq!((row.status, row.error_kind), (Status::Cancelled, Some(ErrorKind::Cancelled)));
    assert!(row.finished_at.is_some() && row.job_name.is_none());
    let row = store.find_execution(running.id).await.unwrap().unwrap();
    assert!(row.status == Status::Running && row.cancel_requested);
    let beats = store.heartbeat(&[running.id], "w", super::LEASE, database.now()).await.unwrap();
    assert!(beats[0].cancel_requested);
    let ended = store.finish(&[end(&database, &running, "w", &failure())], database.now()).await;
    assert!(!ended.unwrap()[0].has_next_attempt);
    assert_eq!(super::status(&store, over.id).await, Status::Success);
    assert_eq!(super::status(&store, kept).await, Status::Dispatched);
}

/// A deletion cannot see the row of a next attempt that is written concurrently.
async fn a_job_deleted_while_its_attempt_fails_leaves_nothing_open(database: TenantDatabase) {
    let store = database.store();
    for n in 0..25 {
        let name = format!("job {n}");
        let claim = claimed(&database, &store, &name, "w").await;
        let ends = [end(&database, &claim, "w", &failure())];
        let delete = format!("DELETE FROM polychron_job WHERE name = '{name}'");
        let ran = database.execution_id();
        let now = database.now();
        let (ended, deleted, _) = tokio::join!(
            store.finish(&ends, now),
            database.execute(&delete),
            store.run_job(&name, ran, None, now + super::MINUTE),
        );
        assert_eq!((ended.unwrap().len(), deleted), (1, 1));
    }
    let open =
        "SELECT CAST(count(*) AS text) FROM polychron_job_execution WHERE finished_at IS NULL";
    assert_eq!(database.text(open).await, "0");
}
