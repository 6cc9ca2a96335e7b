//! Leases: their worker renews them, never past the deadline, and rescue waits until they expire.

use std::time::Duration;

use chrono::TimeDelta;
use shared::outcome::Outcome;
use shared::store::{Finish, Heartbeat, Store};
use testkit::TenantDatabase;

use super::{LEASE, at, claimed, end, success};

on_both_stores! {
    a_heartbeat_renews_but_never_past_the_deadline,
    an_expired_lease_is_not_renewed,
    a_heartbeat_reports_cancellations_and_omits_rows_of_others,
    a_rescue_waits_until_the_lease_expires,
    a_rescue_and_a_late_worker_exclude_each_other,
    an_expired_row_has_what_the_rescue_needs,
}

async fn heartbeat(
    store: &Store,
    database: &TenantDatabase,
    ids: &[shared::id::ExecutionId],
) -> Vec<Heartbeat> {
    store.heartbeat(ids, "w", LEASE, database.now()).await.unwrap()
}

async fn a_heartbeat_renews_but_never_past_the_deadline(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let start = database.now();
    let deadline = start + TimeDelta::seconds(90);
    let written = deadline.time().to_rfc3339();
    database
        .execute(&format!("UPDATE polychron_job_execution SET deadline_at = '{written}'"))
        .await;
    for (elapsed, lease_until) in [(15, 75), (30, 90), (45, 90), (89, 90)] {
        let until = start + TimeDelta::seconds(elapsed);
        database.clock.advance((until - database.now()).to_std().unwrap());
        let beats = heartbeat(&store, &database, &[claim.id]).await;
        assert_eq!(beats.len(), 1, "{elapsed}");
        assert_eq!(beats[0].lease_until, start + TimeDelta::seconds(lease_until));
        let row = store.find_execution(claim.id).await.unwrap().unwrap();
        assert_eq!(row.lease_until, Some(beats[0].lease_until));
    }
    database.advance(Duration::from_secs(1));
    assert_eq!(heartbeat(&store, &database, &[claim.id]).await.len(), 0);
}

/// Also if the lease and the current time differ only in how SQLite writes them.
async fn an_expired_lease_is_not_renewed(database: TenantDatabase) {
    let store = database.store();
    for (name, to_full_second) in [("fraction", false), ("full", true)] {
        if to_full_second {
            let past = database.now().time().timestamp_subsec_micros();
            database.clock.step_wall_time(TimeDelta::microseconds(1_000_000 - i64::from(past)));
            assert_eq!(database.now().time().timestamp_subsec_nanos(), 0);
        }
        let claim = claimed(&database, &store, name, "w").await;
        database.clock.advance(LEASE - Duration::from_micros(1));
        assert_eq!(heartbeat(&store, &database, &[claim.id]).await.len(), 1);
        database.clock.advance(LEASE);
        assert_eq!(heartbeat(&store, &database, &[claim.id]).await.len(), 0);
        database.clock.advance(Duration::from_micros(1));
        assert_eq!(heartbeat(&store, &database, &[claim.id]).await.len(), 0);
        assert_eq!(store.read_expired(database.now(), 9).await.unwrap().len(), 1);
        let late = [end(&database, &claim, "w", &success())];
        let done = store.finish(&late, database.now()).await;
        assert_eq!(done.unwrap().len(), 1, "late, but nobody took it back");
    }
}

async fn a_heartbeat_reports_cancellations_and_omits_rows_of_others(database: TenantDatabase) {
    let store = database.store();
    let mine = claimed(&database, &store, "mine", "w").await;
    let wanted = claimed(&database, &store, "cancelled", "w").await;
    let others = claimed(&database, &store, "others", "other").await;
    let over = claimed(&database, &store, "over", "w").await;
    let dispatched = super::dispatched(&database, &store, "dispatched").await;
    store.finish(&[end(&database, &over, "w", &success())], database.now()).await.unwrap();
    let wanted_id = wanted.id;
    database
        .execute(&format!(
            "UPDATE polychron_job_execution SET cancel_requested = true WHERE id = '{wanted_id}'"
        ))
        .await;
    let ids = [mine.id, wanted.id, others.id, over.id, dispatched, database.execution_id()];
    let before = store.find_execution(others.id).await.unwrap();
    database.advance(Duration::from_secs(15));
    let mut beats: Vec<_> = heartbeat(&store, &database, &ids).await;
    beats.sort_by_key(|heartbeat| heartbeat.cancel_requested);
    let beats: Vec<_> =
        beats.iter().map(|heartbeat| (heartbeat.id, heartbeat.cancel_requested)).collect();
    assert_eq!(beats, [(mine.id, false), (wanted.id, true)]);
    assert_eq!(store.find_execution(others.id).await.unwrap(), before);
    assert_eq!(store.heartbeat(&[], "w", LEASE, database.now()).await.unwrap().len(), 0);
}

async fn a_rescue_waits_until_the_lease_expires(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    let lost = end(&database, &claim, "w", &Outcome::Lost { worker: "w".into() });
    let lease_until = at(claim.lease_until);
    for expired_before in [lease_until - TimeDelta::microseconds(1), lease_until] {
        assert_eq!(store.read_expired(expired_before, 9).await.unwrap().len(), 0);
        let ended =
            store.finish_expired(std::slice::from_ref(&lost), expired_before, database.now());
        assert_eq!(ended.await.unwrap().len(), 0);
    }
    let expired_before = lease_until + TimeDelta::microseconds(1);
    assert_eq!(store.read_expired(expired_before, 9).await.unwrap().len(), 1);
    // The worker renews the lease between the rescue's read and its write.
    database.advance(Duration::from_secs(30));
    heartbeat(&store, &database, &[claim.id]).await;
    let ended = store.finish_expired(std::slice::from_ref(&lost), expired_before, database.now());
    assert_eq!(ended.await.unwrap().len(), 0);
    let later = expired_before + TimeDelta::seconds(30);
    let ended = store.finish_expired(&[lost], later, database.now()).await.unwrap();
    assert!(ended[0].has_next_attempt);
}

async fn a_rescue_and_a_late_worker_exclude_each_other(database: TenantDatabase) {
    let (store, rescuer) = (database.store(), database.store());
    for n in 0..10 {
        let claim = claimed(&database, &store, &format!("job {n}"), "w").await;
        let now = database.advance(LEASE * 2);
        let ours: Finish = end(&database, &claim, "w", &success());
        let lost = end(&database, &claim, "w", &Outcome::Lost { worker: "w".into() });
        let (ours, theirs) = ([ours], [lost]);
        let (finished, rescued) =
            tokio::join!(store.finish(&ours, now), rescuer.finish_expired(&theirs, now, now),);
        assert_eq!(finished.unwrap().len() + rescued.unwrap().len(), 1);
    }
}

async fn an_expired_row_has_what_the_rescue_needs(database: TenantDatabase) {
    let store = database.store();
    let one = claimed(&database, &store, "a", "w").await;
    let other = claimed(&database, &store, "b", "w").await;
    database
        .execute(
            "UPDATE polychron_job SET max_attempts = 9, retry_base_seconds = 4 WHERE name = 'a'",
        )
        .await;
    database.execute("DELETE FROM polychron_job WHERE name = 'b'").await;
    let now = database.advance(LEASE * 2);
    let mut expired = store.read_expired(now, 9).await.unwrap();
    expired.sort_by_key(|row| row.job_id);
    let names: Vec<&str> = expired.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((expired[0].id, expired[1].id, names), (one.id, other.id, vec!["a", ""]));
    assert_eq!((expired[0].worker.as_str(), expired[0].attempt), ("w", 1));
    assert_eq!((expired[0].started_at, expired[0].deadline_at), (one.started_at, one.deadline_at));
    let attempts = expired[0].attempts();
    assert_eq!((attempts.max_attempts, attempts.retry_base_seconds), (9, 4));
    assert_eq!(expired[1].attempts().orphan_policy, shared::job::OrphanPolicy::Fail);
    assert_eq!(store.read_expired(now, 1).await.unwrap().len(), 1);
}
