//! The poll: what is due, what waits for its time or for other executions, and when to poll again.

use std::time::Duration;

use shared::execution::Status;
use shared::id::{ExecutionId, JobId};
use shared::store::{Arm, Dispatch, NewExecution, Store};
use testkit::TenantDatabase;

use super::{MINUTE, claimed, default_queue, dispatch, end, occurrence, step, success};

on_both_stores! {
    a_poll_reports_what_there_is_to_do,
    an_occurrence_waits_until_earlier_ones_have_finished,
    retries_and_manual_runs_wait_for_their_time,
    jobs_of_a_full_queue_wait,
    due_jobs_are_read_oldest_first_with_their_open_executions,
    an_edit_wins_over_arming_and_quarantine,
}

async fn a_poll_reports_what_there_is_to_do(database: TenantDatabase) {
    let store = database.store();
    let summary = store.poll().await.unwrap();
    assert_eq!((summary.tenant_id, summary.dispatch_no), (database.tenant, 0));
    assert_eq!(
        (summary.dispatched, summary.running, summary.waiting, summary.has_unarmed),
        (0, 0, 0, false)
    );
    assert!(
        summary.next_available_at.or(summary.next_lease_until).or(summary.next_due_at).is_none()
    );
    assert!(summary.unconfirmed_since.or(summary.published_since).is_none());

    let now = database.now();
    let running = claimed(&database, &store, "running", "w").await;
    super::dispatched(&database, &store, "dispatched").await;
    let done = claimed(&database, &store, "done", "w").await;
    store.finish(&[end(&database, &done, "w", &success())], now).await.unwrap();
    waiting(&database, &store, running.job_id, (now + MINUTE).time()).await;
    assert!(
        store
            .run_job("done", database.execution_id(), None, now + MINUTE * 3)
            .await
            .unwrap()
            .is_applied()
    );
    assert!(
        store
            .run_job("done", database.execution_id(), None, now + MINUTE * 2)
            .await
            .unwrap()
            .is_applied()
    );
    let summary = store.poll().await.unwrap();
    assert_eq!((summary.dispatched, summary.running, summary.waiting), (1, 1, 1));
    assert_eq!(summary.next_available_at, Some(now.time() + MINUTE * 2));
    assert_eq!(summary.next_lease_until, Some(running.lease_until));
    assert_eq!(summary.next_due_at, Some(now.time() + MINUTE));
    assert_eq!((summary.unconfirmed_since, summary.published_since), (Some(now.time()), None));
    assert!(!summary.has_unarmed);
    database.insert_job("unarmed").await;
    assert!(store.poll().await.unwrap().has_unarmed);
    database.execute("UPDATE polychron_job SET is_enabled = false").await;
    let summary = store.poll().await.unwrap();
    assert_eq!((summary.has_unarmed, summary.next_due_at), (false, None));
}

/// Adds an occurrence that waits for others to finish.
async fn waiting(
    database: &TenantDatabase,
    store: &Store,
    job: JobId,
    at: shared::clock::Time,
) -> ExecutionId {
    let row = NewExecution { status: Status::Scheduled, ..occurrence(database, job, at) };
    let id = row.id;
    let due = at.to_rfc3339();
    database
        .execute(&format!("UPDATE polychron_job SET next_run_at = '{due}' WHERE id = {job}"))
        .await;
    let batch = Dispatch { advances: vec![step(job, at)], executions: vec![row], released: vec![] };
    assert_eq!(dispatch(store, &batch, database.now()).await, []);
    id
}

async fn ready(database: &TenantDatabase, store: &Store) -> Vec<ExecutionId> {
    let rows = store.read_waiting(database.now(), &default_queue(), 9).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

async fn an_occurrence_waits_until_earlier_ones_have_finished(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let running = claimed(&database, &store, "a", "w").await;
    let second = waiting(&database, &store, running.job_id, (now + MINUTE).time()).await;
    let third = waiting(&database, &store, running.job_id, (now + MINUTE * 2).time()).await;
    database.execute("UPDATE polychron_job SET overlap_policy = 'queue'").await;
    assert_eq!(ready(&database, &store).await, []);
    database.execute("UPDATE polychron_job SET overlap_policy = 'allow'").await;
    assert_eq!(ready(&database, &store).await, [second, third]);
    database.execute("UPDATE polychron_job SET overlap_policy = 'queue'").await;
    // A pending retry means that the occurrence has not finished.
    let failed = end(&database, &running, "w", &super::failure());
    let retry = failed.next.unwrap().id;
    store.finish(&[failed], now).await.unwrap();
    assert_eq!(ready(&database, &store).await, []);
    database.advance(Duration::from_secs(60));
    assert_eq!(ready(&database, &store).await, [retry]);
    database.execute(&format!(
        "UPDATE polychron_job_execution SET status = 'cancelled', finished_at = '{}' WHERE id = '{retry}'", now.time().to_rfc3339()
    )).await;
    // One at a time, the oldest first.
    assert_eq!(ready(&database, &store).await, [second]);
    let release = Dispatch { released: vec![second], ..Dispatch::default() };
    dispatch(&store, &release, database.now()).await;
    assert_eq!(ready(&database, &store).await, []);
    let claim = store.claim(&[second], &super::terms("w"), database.now()).await.unwrap().remove(0);
    let ended = store.finish(&[end(&database, &claim, "w", &success())], database.now()).await;
    assert!(ended.unwrap()[0].needs_poll);
    assert_eq!(ready(&database, &store).await, [third]);
    database
        .execute(&format!(
            "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{third}'"
        ))
        .await;
    assert_eq!(ready(&database, &store).await, []);
}

async fn retries_and_manual_runs_wait_for_their_time(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let (late, soon) = (database.execution_id(), database.execution_id());
    let now = database.now();
    assert!(
        store
            .run_job("a", late, Some(&serde_json::json!({"by": "hand"})), now + MINUTE)
            .await
            .unwrap()
            .is_applied()
    );
    assert_eq!(ready(&database, &store).await, []);
    assert!(store.run_job("a", soon, None, now - MINUTE).await.unwrap().is_applied());
    assert_eq!(ready(&database, &store).await, [soon], "concurrently with the running one");
    database.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert_eq!(ready(&database, &store).await, [soon]);
    database.advance(Duration::from_micros(1));
    assert_eq!(ready(&database, &store).await, [soon, late]);
    let row = store.find_execution(late).await.unwrap().unwrap();
    assert_eq!(row.payload, Some(serde_json::json!({"by": "hand"})));
    assert_eq!(store.read_waiting(database.now(), &default_queue(), 1).await.unwrap()[0].id, soon);
    assert_eq!(super::status(&store, claim.id).await, Status::Running);
}

async fn jobs_of_a_full_queue_wait(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    for (name, queue) in [("a", "mail"), ("b", "mail-2"), ("c", "default")] {
        let due = (now - MINUTE).time().to_rfc3339();
        database.insert_job_with(name, &format!("queue = '{queue}', next_run_at = '{due}'")).await;
        assert!(
            store.run_job(name, database.execution_id(), None, now).await.unwrap().is_applied()
        );
    }
    let names = |with_capacity: &[&str]| {
        with_capacity.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    for (with_capacity, expected) in [
        (names(&["default", "mail", "mail-2"]), vec!["a", "b", "c"]),
        (names(&["default", "mail-2"]), vec!["b", "c"]),
        (names(&["mail"]), vec!["a"]),
        (names(&[]), vec![]),
        (names(&["ail", "mail-", "'", ""]), vec![]),
    ] {
        let waiting = store.read_waiting(now, &with_capacity, 9).await.unwrap();
        let mut waiting: Vec<&str> = waiting.iter().map(|row| row.name.as_str()).collect();
        waiting.sort_unstable();
        assert_eq!(waiting, expected, "{with_capacity:?}");
        let due = store.read_due(now, now - MINUTE * 2, &with_capacity, 9).await.unwrap();
        let due: Vec<&str> = due.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(due, expected, "{with_capacity:?}");
        // Whatever is full: being seen must be put on record.
        assert_eq!(store.read_due(now, now - MINUTE, &with_capacity, 9).await.unwrap().len(), 3);
    }
    database.execute("UPDATE polychron_job SET misfire_grace_seconds = 59 WHERE name = 'a'").await;
    let due = store.read_due(now, now - MINUTE * 2, &[], 9).await.unwrap();
    assert_eq!(due.len(), 1, "with little grace, at once");
}

async fn due_jobs_are_read_oldest_first_with_their_open_executions(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let busy = claimed(&database, &store, "busy", "w").await;
    waiting(&database, &store, busy.job_id, (now - MINUTE).time()).await;
    assert!(
        store
            .run_job("busy", database.execution_id(), None, now + MINUTE)
            .await
            .unwrap()
            .is_applied()
    );
    for (name, at) in [
        ("busy", now),
        ("late", now - MINUTE),
        ("next", now + MINUTE),
        ("quarantined", now),
        ("off", now),
    ] {
        if name != "busy" {
            database.insert_job(name).await;
        }
        let (at, name) = (at.time().to_rfc3339(), name);
        database
            .execute(&format!(
                "UPDATE polychron_job SET next_run_at = '{at}' WHERE name = '{name}'"
            ))
            .await;
    }
    database
        .execute("UPDATE polychron_job SET quarantined_reason = 'no' WHERE name = 'quarantined'")
        .await;
    database.execute("UPDATE polychron_job SET is_enabled = false WHERE name = 'off'").await;
    let due = store.read_due(now, now, &default_queue(), 9).await.unwrap();
    let names: Vec<&str> = due.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["late", "busy"]);
    assert_eq!((due[0].open, due[0].waiting), (0, 0));
    assert_eq!((due[1].open, due[1].waiting), (3, 1));
    assert_eq!(store.read_due(now, now, &default_queue(), 1).await.unwrap().len(), 1);
}

async fn an_edit_wins_over_arming_and_quarantine(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let job = database.insert_job("a").await;
    let read = store.read_unarmed(9).await.unwrap();
    assert_eq!((read.len(), read[0].id, read[0].version), (1, job, 1));
    database.execute(r#"UPDATE polychron_job SET schedule = '{"every":"2m"}'"#).await;
    store.arm(&[Arm { job, version: 1, next_run_at: now.time() }], now).await.unwrap();
    assert!(!store.quarantine(job, 1, "no").await.unwrap().is_applied());
    assert!(store.poll().await.unwrap().has_unarmed);

    assert!(store.quarantine(job, 2, "no").await.unwrap().is_applied());
    assert!(!store.quarantine(job, 2, "again").await.unwrap().is_applied());
    assert!(!store.poll().await.unwrap().has_unarmed);
    assert_eq!(store.read_unarmed(9).await.unwrap().len(), 0);
    let row = store.find_job("a").await.unwrap().unwrap();
    assert_eq!((row.quarantined_reason.as_deref(), row.version), (Some("no"), 2));
    database.execute(r#"UPDATE polychron_job SET schedule = '{"every":"3m"}'"#).await;
    store.arm(&[Arm { job, version: 3, next_run_at: (now + MINUTE).time() }], now).await.unwrap();
    // Another producer cannot arm it again.
    store
        .arm(&[Arm { job, version: 3, next_run_at: (now + MINUTE * 2).time() }], now)
        .await
        .unwrap();
    let row = store.find_job("a").await.unwrap().unwrap();
    assert_eq!(
        (row.next_run_at, row.schedule_since),
        (Some(now.time() + MINUTE), Some(now.time()))
    );
    assert_eq!((row.quarantined_reason, row.version), (None, 3));
}
