//! The claim: at most one worker gets a row, and none gets a row that is not claimable.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use shared::execution::Status;
use shared::id::ExecutionId;
use shared::store::ClaimTerms;
use testkit::TenantDatabase;

use super::{LEASE, claimed, dispatched, end, failure, status, success, terms};

on_both_stores! {
    a_claim_returns_what_the_worker_needs,
    a_claim_is_idempotent_and_exclusive,
    a_claim_sets_the_deadline_to_the_microsecond,
    rows_that_are_not_claimable_are_not_claimed,
    unknown_and_repeated_ids_in_a_batch_are_ignored,
    each_row_has_one_winner_of_two_workers,
    a_claim_counts_the_uncharged_attempts,
}

async fn a_claim_returns_what_the_worker_needs(database: TenantDatabase) {
    let store = database.store();
    let id = dispatched(&database, &store, "a").await;
    let payload = r#"UPDATE polychron_job SET payload = '{"to": "ann"}', max_attempts = 7, orphan_policy = 'fail'"#;
    database.execute(payload).await;
    let scheduled_for = database.now();
    let now = database.advance(Duration::from_secs(2));
    let claim = store.claim(&[id], &terms("w"), now).await.unwrap().remove(0);
    assert_eq!((claim.id, claim.name.as_str(), claim.job_type.as_str()), (id, "a", "noop"));
    let given: serde_json::Value = serde_json::from_str(claim.payload.as_ref().unwrap()).unwrap();
    assert_eq!(given, serde_json::json!({"to": "ann"}));
    assert_eq!(
        (claim.scheduled_for, claim.attempt, claim.started_at),
        (scheduled_for.time(), 1, now.time())
    );
    assert_eq!(claim.lease_until, now + TimeDelta::seconds(60));
    assert_eq!(claim.deadline_at, now + TimeDelta::seconds(1800));
    assert_eq!(claim.attempts().max_attempts, 7);
    // The row keeps what ran, even if the job changes.
    database
        .execute(r#"UPDATE polychron_job SET payload = '{}', schedule = '{"every":"9m"}'"#)
        .await;
    let row = store.find_execution(id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.worker.as_deref(), row.job_version),
        (Status::Running, Some("w"), Some(1))
    );
    assert_eq!(row.payload, Some(given));
}

async fn a_claim_is_idempotent_and_exclusive(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "one").await;
    let now = database.advance(Duration::from_secs(1));
    let again = store.claim(&[claim.id], &terms("one"), now).await.unwrap().remove(0);
    assert_eq!(
        (again.started_at, again.lease_until),
        (now.time(), now.time() + TimeDelta::seconds(60))
    );
    let before = store.find_execution(claim.id).await.unwrap();
    assert_eq!(store.claim(&[claim.id], &terms("other"), now).await.unwrap().len(), 0);
    assert_eq!(store.find_execution(claim.id).await.unwrap(), before);
}

async fn a_claim_sets_the_deadline_to_the_microsecond(database: TenantDatabase) {
    let store = database.store();
    database.clock.step_wall_time(TimeDelta::microseconds(876_543)); // to 12:00:00.999999
    for (timeout, lease, deadline) in [("5", 5, 5), ("61", 60, 61), ("2592000", 60, 2_592_000)] {
        let id = dispatched(&database, &store, timeout).await;
        database.execute(&format!("UPDATE polychron_job SET timeout_seconds = {timeout}")).await;
        let now = database.now();
        let claim = store.claim(&[id], &terms("w"), now).await.unwrap().remove(0);
        assert_eq!(claim.deadline_at, now + TimeDelta::seconds(deadline), "{timeout}");
        assert_eq!(claim.lease_until, now + TimeDelta::seconds(lease), "{timeout}");
    }
    // Also test a full second, whose fraction SQLite could write in several ways.
    database.clock.step_wall_time(TimeDelta::microseconds(1));
    let id = dispatched(&database, &store, "full").await;
    let longest = ClaimTerms { default_timeout: Duration::MAX, ..terms("w") };
    let claim = store.claim(&[id], &longest, database.now()).await.unwrap().remove(0);
    assert_eq!(claim.deadline_at, database.now() + TimeDelta::seconds(i32::MAX.into()));
}

async fn rows_that_are_not_claimable_are_not_claimed(database: TenantDatabase) {
    let store = database.store();
    let now = database.now();
    let cancelled = dispatched(&database, &store, "cancelled").await;
    database
        .execute(&format!(
            "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{cancelled}'"
        ))
        .await;
    let elsewhere = dispatched(&database, &store, "elsewhere").await;
    database.execute("UPDATE polychron_job SET queue = 'mail' WHERE name = 'elsewhere'").await;
    let over = claimed(&database, &store, "over", "w").await;
    let done = store.finish(&[end(&database, &over, "w", &success())], now).await.unwrap();
    assert_eq!(done.len(), 1);
    database.insert_job("waits").await;
    let waits = database.execution_id();
    assert!(store.run_job("waits", waits, None, now).await.unwrap().is_applied());
    for (id, expected) in [
        (cancelled, Status::Dispatched),
        (elsewhere, Status::Dispatched),
        (over.id, Status::Success),
        (waits, Status::Scheduled),
    ] {
        assert_eq!(store.claim(&[id], &terms("w"), now).await.unwrap().len(), 0, "{expected}");
        assert_eq!(status(&store, id).await, expected);
    }
    let mail = ClaimTerms { queues: vec!["other".into(), "mail".into()], ..terms("w") };
    assert_eq!(store.claim(&[elsewhere], &mail, now).await.unwrap().len(), 1);
    let none = ClaimTerms { queues: vec![], ..terms("w") };
    let id = dispatched(&database, &store, "again").await;
    assert_eq!(store.claim(&[id], &none, now).await.unwrap().len(), 0);
}

async fn unknown_and_repeated_ids_in_a_batch_are_ignored(database: TenantDatabase) {
    let store = database.store();
    let one = dispatched(&database, &store, "one").await;
    let other = dispatched(&database, &store, "other").await;
    let ids = [database.execution_id(), other, one, database.execution_id(), one];
    let claims = store.claim(&ids, &terms("w"), database.now()).await.unwrap();
    let claims: HashSet<ExecutionId> = claims.iter().map(|claim| claim.id).collect();
    assert_eq!(claims, HashSet::from([one, other]));
    assert_eq!(store.claim(&[], &terms("w"), database.now()).await.unwrap().len(), 0);
}

async fn each_row_has_one_winner_of_two_workers(database: TenantDatabase) {
    let store = database.store();
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(dispatched(&database, &store, &format!("job {n}")).await);
    }
    let reversed: Vec<ExecutionId> = ids.iter().rev().copied().collect();
    let (one, other) = (database.store(), database.store());
    let (one_terms, other_terms) = (terms("one"), terms("other"));
    let now = database.now();
    let (ours, theirs) =
        tokio::join!(async { one.claim(&ids, &one_terms, now).await.unwrap() }, async {
            other.claim(&reversed, &other_terms, now).await.unwrap()
        },);
    let all: HashSet<ExecutionId> = ours.iter().chain(&theirs).map(|claim| claim.id).collect();
    assert_eq!((all.len(), ours.len() + theirs.len()), (40, 40));
    for (claims, worker) in [(ours, "one"), (theirs, "other")] {
        for claim in claims {
            let row = store.find_execution(claim.id).await.unwrap().unwrap();
            assert_eq!(row.worker.as_deref(), Some(worker));
            assert_eq!(row.lease_until, Some(now.time() + TimeDelta::from_std(LEASE).unwrap()));
        }
    }
}

async fn a_claim_counts_the_uncharged_attempts(database: TenantDatabase) {
    let store = database.store();
    let mut claim = claimed(&database, &store, "a", "w").await;
    let shutdown = shared::outcome::Outcome::Shutdown { worker: "w".into() };
    for (outcome, uncharged) in [(&shutdown, 1), (&failure(), 1), (&shutdown, 2)] {
        let end = end(&database, &claim, "w", outcome);
        let next = end.next.unwrap();
        let now = database.now();
        assert!(store.finish(&[end], now).await.unwrap()[0].has_next_attempt);
        let now = database.advance(Duration::from_secs(60));
        let release = shared::store::Dispatch { released: vec![next.id], ..Default::default() };
        assert_eq!(super::dispatch(&store, &release, now).await, [next.id]);
        let attempt = claim.attempt + 1;
        claim = store.claim(&[next.id], &terms("w"), now).await.unwrap().remove(0);
        assert_eq!((claim.attempt, claim.attempts().uncharged), (attempt, uncharged));
    }
}
