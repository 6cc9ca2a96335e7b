//! The input of a forecast: which jobs will run, and how long each occurrence occupied a slot.

use std::time::Duration;

use shared::id::JobId;
use shared::job::OverlapPolicy;
use testkit::TenantDatabase;

use super::{claimed, end, failure, status, success, terms};

on_both_stores! {
    seconds_include_all_attempts_at_an_occurrence,
    only_jobs_that_will_run_are_read,
}

async fn seconds_include_all_attempts_at_an_occurrence(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "slow", "w").await;
    let now = database.advance(Duration::from_secs(40));
    let first = end(&database, &claim, "w", &failure());
    store.finish(std::slice::from_ref(&first), now).await.unwrap();
    let next = first.next.as_ref().unwrap().id;
    assert_eq!(status(&store, next).await, shared::execution::Status::Scheduled);
    // The next attempt takes half as long.
    let retry_at = database.advance(Duration::from_secs(3600));
    let summary = store.poll().await.unwrap();
    let waiting = store.read_waiting(retry_at, &super::default_queue(), 9).await.unwrap();
    let released = waiting.iter().map(|row| row.id).collect();
    let release = shared::store::Dispatch { released, ..Default::default() };
    let _ = store.dispatch(&release, summary.dispatch_no, retry_at).await.unwrap();
    let again = store.claim(&[next], &terms("w"), retry_at).await.unwrap().remove(0);
    let now = database.advance(Duration::from_secs(20));
    store.finish(&[end(&database, &again, "w", &success())], now).await.unwrap();

    let load = store.plan_load(JobId(0), 10).await.unwrap();
    assert_eq!(load.len(), 1);
    assert_eq!((load[0].name.as_str(), load[0].overlap_policy), ("slow", OverlapPolicy::Skip));
    assert!((load[0].seconds.unwrap() - 60.0).abs() < 0.01, "{:?}", load[0].seconds);
}

async fn only_jobs_that_will_run_are_read(database: TenantDatabase) {
    let store = database.store();
    let a = database.insert_job("a").await;
    database.insert_job_with("paused", "is_enabled = false").await;
    database.insert_job_with("quarantined", "quarantined_reason = 'no'").await;
    database.insert_job_with("b", "overlap_policy = 'allow'").await;
    let load = store.plan_load(JobId(0), 1).await.unwrap();
    assert_eq!((load[0].id, load[0].seconds), (a, None));
    let rest = store.plan_load(a, 10).await.unwrap();
    assert_eq!(rest.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["b"]);
}
