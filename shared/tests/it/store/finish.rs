//! The finish: written once, by the worker with the lease, together with what follows from it.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::execution::{ErrorKind, Status, Trigger};
use shared::outcome::{Failure, Outcome, RESULT_BYTES_MAX};
use shared::store::{Dispatch, StoreError};
use testkit::TenantDatabase;

use super::{claimed, dispatch, end, failure, occurrence, step, success, terms};

on_both_stores! {
    a_stale_worker_writes_nothing,
    a_final_row_never_changes,
    a_failure_is_followed_by_the_next_attempt,
    attempts_are_numbered_without_gaps,
    nothing_follows_a_cancelled_row,
    a_finish_reports_what_it_freed,
    results_and_errors_are_stored,
    a_rejected_row_rolls_back_the_batch,
    a_batch_finishes_each_of_its_rows,
    a_result_nested_too_deeply_is_kept_as_a_note,
}

async fn a_stale_worker_writes_nothing(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let before = store.find_execution(claim.id).await.unwrap();
    let stale = end(&database, &claim, "other", &failure());
    assert_eq!(store.finish(&[stale], database.now()).await.unwrap().len(), 0);
    let mut unknown = end(&database, &claim, "w", &failure());
    unknown.id = database.execution_id();
    assert_eq!(store.finish(&[unknown], database.now()).await.unwrap().len(), 0);
    assert_eq!(store.find_execution(claim.id).await.unwrap(), before);
    assert_eq!(
        database.text("SELECT CAST(count(*) AS text) FROM polychron_job_execution").await,
        "1"
    );
    assert_eq!(store.finish(&[], database.now()).await.unwrap().len(), 0);
}

async fn a_final_row_never_changes(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let id = claim.id;
    let done = store.finish(&[end(&database, &claim, "w", &success())], database.now()).await;
    assert_eq!(done.unwrap().len(), 1);
    let row = store.find_execution(id).await.unwrap();
    let now = database.advance(Duration::from_secs(7200));
    for outcome in [success(), failure(), Outcome::Cancelled, Outcome::Lost { worker: "w".into() }]
    {
        let late = end(&database, &claim, "w", &outcome);
        assert_eq!(store.finish(std::slice::from_ref(&late), now).await.unwrap().len(), 0);
        assert_eq!(store.finish_expired(&[late], now, now).await.unwrap().len(), 0);
    }
    assert_eq!(store.claim(&[id], &terms("w"), now).await.unwrap().len(), 0);
    assert_eq!(store.heartbeat(&[id], "w", super::LEASE, now).await.unwrap().len(), 0);
    store.mark_published(&[id], now).await.unwrap();
    let release = Dispatch { released: vec![id], ..Dispatch::default() };
    assert_eq!(dispatch(&store, &release, now).await, []);
    database.execute("DELETE FROM polychron_job").await;
    let after = store
        .find_execution(id)
        .await
        .unwrap()
        .map(|row| shared::execution::Execution { job_name: Some("a".to_owned()), ..row });
    assert_eq!(after, row);
    assert_eq!(
        database.text("SELECT CAST(count(*) AS text) FROM polychron_job_execution").await,
        "1"
    );
}

async fn a_failure_is_followed_by_the_next_attempt(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    database.execute(r#"UPDATE polychron_job SET payload = '{"edited": true}'"#).await;
    let failed = end(&database, &claim, "w", &failure());
    let next = failed.next.unwrap();
    assert!(store.finish(&[failed], database.now()).await.unwrap()[0].has_next_attempt);
    let row = store.find_execution(claim.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.error_kind), (Status::Failed, Some(ErrorKind::Handler)));
    assert_eq!(
        (row.error_message.as_deref(), row.finished_at),
        (Some("no"), Some(database.now().time()))
    );
    let row = store.find_execution(next.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.trigger, row.attempt), (Status::Scheduled, Trigger::Retry, 2));
    assert_eq!(
        (row.scheduled_for, row.available_at),
        (claim.scheduled_for, Some(next.available_at))
    );
    assert_eq!(row.payload, Some(json!({})), "a retry runs what the first attempt ran");
    assert_eq!((row.worker, row.started_at, row.cancel_requested), (None, None, false));
}

async fn attempts_are_numbered_without_gaps(database: TenantDatabase) {
    let store = database.store();
    let mut claim = claimed(&database, &store, "a", "w").await;
    let lost = Outcome::Lost { worker: "w".into() };
    for outcome in [&failure(), &lost] {
        let now = database.advance(Duration::from_secs(120));
        let ended = end(&database, &claim, "w", outcome);
        let next = ended.next.unwrap().id;
        // Written twice, as after a lost reply, and by the rescue, too.
        let both = [ended.clone(), ended];
        assert_eq!(store.finish_expired(&both, now, now).await.unwrap().len(), 1);
        assert_eq!(store.finish(&both, now).await.unwrap().len(), 0);
        let now = database.advance(Duration::from_secs(60));
        let release = Dispatch { released: vec![next], ..Dispatch::default() };
        assert_eq!(dispatch(&store, &release, now).await, [next]);
        claim = store.claim(&[next], &terms("w"), now).await.unwrap().remove(0);
    }
    let last = end(&database, &claim, "w", &failure());
    assert!(last.next.is_none(), "the third of three attempts");
    assert!(!store.finish(&[last], database.now()).await.unwrap()[0].has_next_attempt);
    let rows = "SELECT attempt || ' ' || trigger || ' ' || status || ' ' || error_kind FROM polychron_job_execution ORDER BY attempt";
    let expected = ["1 schedule failed handler", "2 retry failed lost", "3 rescue failed handler"];
    assert_eq!(database.texts(rows).await, expected);
}

async fn nothing_follows_a_cancelled_row(database: TenantDatabase) {
    let store = database.store();
    for (name, outcome) in [
        ("a", failure()),
        ("b", Outcome::Lost { worker: "w".into() }),
        ("c", Outcome::Shutdown { worker: "w".into() }),
    ] {
        let claim = claimed(&database, &store, name, "w").await;
        let ended = end(&database, &claim, "w", &outcome);
        let next = ended.next.unwrap();
        let id = claim.id;
        database
            .execute(&format!(
                "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{id}'"
            ))
            .await;
        let ended = store.finish(&[ended], database.now()).await.unwrap();
        assert!(ended.len() == 1 && !ended[0].has_next_attempt);
        assert!(store.find_execution(next.id).await.unwrap().is_none());
    }
    // A success that was written first stays.
    let claim = claimed(&database, &store, "d", "w").await;
    let id = claim.id;
    database
        .execute(&format!(
            "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{id}'"
        ))
        .await;
    store.finish(&[end(&database, &claim, "w", &success())], database.now()).await.unwrap();
    assert_eq!(super::status(&store, id).await, Status::Success);
}

async fn a_finish_reports_what_it_freed(database: TenantDatabase) {
    let store = database.store();
    let alone = claimed(&database, &store, "alone", "w").await;
    let blocker = claimed(&database, &store, "blocker", "w").await;
    let now = database.now();
    let waits = shared::store::NewExecution {
        status: Status::Scheduled,
        ..occurrence(&database, blocker.job_id, now + super::MINUTE)
    };
    let advances = vec![step(blocker.job_id, now + super::MINUTE)];
    dispatch(&store, &Dispatch { advances, executions: vec![waits], released: vec![] }, now).await;
    let ends = [&alone, &blocker].map(|claim| end(&database, claim, "w", &success()));
    let mut ended = store.finish(&ends, now).await.unwrap();
    ended.sort_by_key(|ended| ended.needs_poll);
    let freed: Vec<_> = ended.iter().map(|ended| (ended.id, ended.needs_poll)).collect();
    assert_eq!(freed, [(alone.id, false), (blocker.id, true)]);
}

async fn results_and_errors_are_stored(database: TenantDatabase) {
    let store = database.store();
    let results = [
        json!(null),
        json!(true),
        json!("ä\u{1F600}\"\\'\n\u{1}"),
        json!([1, -2, 1.5, 1e300]),
        json!(i64::MIN),
        json!(u64::MAX),
        json!({"": {"a": []}}),
        json!("x".repeat(RESULT_BYTES_MAX - 2)),
    ];
    for (n, result) in results.into_iter().enumerate() {
        let claim = claimed(&database, &store, &format!("job {n}"), "w").await;
        let mut ended = end(&database, &claim, "w", &Outcome::Success(result.clone()));
        ended.report.output = Some(format!("line {n}\n"));
        assert_eq!(store.finish(&[ended], database.now()).await.unwrap().len(), 1);
        let row = store.find_execution(claim.id).await.unwrap().unwrap();
        assert_eq!((row.result, row.output), (Some(result), Some(format!("line {n}\n"))));
    }
    // Values that cannot be stored are replaced before they are bound.
    let claim = claimed(&database, &store, "odd", "w").await;
    let message = format!("a\0b {}", "ä".repeat(1 << 20));
    let odd = Outcome::Failure(Failure {
        message: message.clone(),
        detail: Some(message),
        retry: false,
        retry_after: None,
    });
    store.finish(&[end(&database, &claim, "w", &odd)], database.now()).await.unwrap();
    let row = store.find_execution(claim.id).await.unwrap().unwrap();
    assert!(row.error_message.unwrap().starts_with("a\u{FFFD}b ä"));
    assert!(row.error_detail.unwrap().ends_with(" […]"));
    let claim = claimed(&database, &store, "nul", "w").await;
    let nul = Outcome::Success(json!({"a\0": ["\0"]}));
    store.finish(&[end(&database, &claim, "w", &nul)], database.now()).await.unwrap();
    let row = store.find_execution(claim.id).await.unwrap().unwrap();
    assert_eq!(row.result, Some(json!({"a\u{FFFD}": ["\u{FFFD}"]})));
}

/// The writer retries a rejected batch row by row, so a batch must be atomic.
async fn a_rejected_row_rolls_back_the_batch(database: TenantDatabase) {
    let store = database.store();
    let good = claimed(&database, &store, "good", "w").await;
    let bad = claimed(&database, &store, "bad", "w").await;
    let fail = format!("CHECK (finished_at IS NULL OR id <> '{}')", bad.id);
    if database.is_sqlite() {
        let id = bad.id;
        database.execute(&format!(
            "CREATE TRIGGER no BEFORE UPDATE OF finished_at ON polychron_job_execution WHEN NEW.id = '{id}' AND NEW.finished_at IS NOT NULL
             BEGIN SELECT raise(ABORT, 'no'); END"
        )).await;
    } else {
        database
            .execute(&format!("ALTER TABLE polychron_job_execution ADD CONSTRAINT no {fail}"))
            .await;
    }
    let ends = [&good, &bad].map(|claim| end(&database, claim, "w", &success()));
    let refused = store.finish(&ends, database.now()).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(super::status(&store, good.id).await, Status::Running);
    assert_eq!(store.finish(&ends[..1], database.now()).await.unwrap().len(), 1);
    assert_eq!(super::status(&store, bad.id).await, Status::Running);
}

async fn a_batch_finishes_each_of_its_rows(database: TenantDatabase) {
    let store = database.store();
    let mut ends = Vec::new();
    for n in 0..30 {
        let claim = claimed(&database, &store, &format!("job {n}"), "w").await;
        let outcome = if n % 3 == 0 { failure() } else { success() };
        ends.push(end(&database, &claim, if n % 5 == 0 { "other" } else { "w" }, &outcome));
    }
    let ended = store.finish(&ends, database.now()).await.unwrap();
    assert_eq!(ended.len(), 24);
    assert_eq!(ended.iter().filter(|ended| ended.has_next_attempt).count(), 8);
    let counts = "SELECT status || ' ' || count(*) FROM polychron_job_execution GROUP BY status ORDER BY status";
    assert_eq!(
        database.texts(counts).await,
        ["failed 8", "running 6", "scheduled 8", "success 16"]
    );
    let soon = store.poll().await.unwrap().next_available_at.unwrap();
    assert!(soon >= database.now() && soon < database.now() + TimeDelta::seconds(10));
}

/// The work is done and must not be repeated because a database cannot store its result.
async fn a_result_nested_too_deeply_is_kept_as_a_note(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "deep", "w").await;
    let deep = (0..1500).fold(json!(1), |inner, _| json!([inner]));
    let ended = end(&database, &claim, "w", &Outcome::Success(deep));
    assert_eq!(store.finish(&[ended], database.now()).await.unwrap().len(), 1);
    let row = store.find_execution(claim.id).await.unwrap().unwrap();
    assert!(row.result.unwrap()["polychron_cut"].is_object());
}
