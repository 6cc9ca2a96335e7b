//! Rescues, retries and sweeps.

use polychron_producer::sweeper::SweepScope;
use std::time::Duration;

use serde_json::json;
use shared::execution::{ErrorKind, Status, Trigger};
use shared::job::OrphanPolicy;
use shared::outcome::{Failure, Outcome};
use shared::tenant::TenantStatus;

use crate::table::{Table, every, poll};

#[tokio::test]
async fn a_lost_worker_costs_an_attempt_until_none_is_left() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |job| job.max_attempts = 2).await;
    table.after(10).await;
    table.claim(9).await;
    table.after(64).await;
    assert_eq!(table.counts().await, [("running", 1)].into(), "the lease has its grace");
    table.after(2).await;
    let rows = table.executions().await;
    assert_eq!((rows[0].status, rows[0].error_kind), (Status::Failed, Some(ErrorKind::Lost)));
    assert_eq!((rows[1].status, rows[1].attempt), (Status::Dispatched, 2));
    assert_eq!(rows[1].trigger, Trigger::Rescue);
    table.claim(9).await;
    table.after(66).await;
    assert_eq!(table.counts().await, [("failed", 2)].into());
}

#[tokio::test]
async fn a_job_that_must_not_run_twice_is_not_rescued() {
    let table = Table::new().await;
    table
        .add("job", json!({"at": "2026-11-24T12:00:10Z"}), |job| {
            job.orphan_policy = OrphanPolicy::Fail
        })
        .await;
    table.after(10).await;
    table.claim(9).await;
    table.after(66).await;
    assert_eq!(table.counts().await, [("failed", 1)].into());
}

#[tokio::test]
async fn a_lost_worker_is_no_timeout_however_late_it_is_noticed() {
    let table = Table::new().await;
    table
        .add("job", json!({"at": "2026-11-24T12:00:10Z"}), |job| {
            job.orphan_policy = OrphanPolicy::Fail;
            job.timeout_seconds = Some(120);
        })
        .await;
    table.after(10).await;
    table.claim(9).await;
    table.after(3600).await;
    let rows = table.executions().await;
    assert_eq!(rows.len(), 1, "it must not run twice: {rows:#?}");
    assert_eq!(rows[0].error_kind, Some(ErrorKind::Lost));
}

#[tokio::test]
async fn a_worker_that_hangs_past_the_deadline_has_timed_out() {
    let table = Table::new().await;
    table
        .add("job", json!({"at": "2026-11-24T12:00:10Z"}), |job| {
            job.timeout_seconds = Some(7);
            job.max_attempts = 1;
        })
        .await;
    table.after(10).await;
    table.claim(9).await;
    table.after(13).await;
    let rows = table.executions().await;
    assert_eq!(rows[0].error_kind, Some(ErrorKind::Timeout));
    assert_eq!(rows[0].error_message.as_deref(), Some("ran longer than its 7s"));
}

#[tokio::test]
async fn a_retry_comes_after_its_backoff() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    let claims = table.claim(9).await;
    let failure = Failure { message: "no".into(), detail: None, retry: true, retry_after: None };
    table.finish(&claims[0], Outcome::Failure(failure)).await;
    let wait = table.poll().await;
    assert!(wait <= Duration::from_secs(10));
    table.after(10).await;
    let rows = table.executions().await;
    assert_eq!(
        (rows[1].status, rows[1].attempt, rows[1].trigger),
        (Status::Dispatched, 2, Trigger::Retry)
    );
}

#[tokio::test]
async fn a_lost_message_is_published_again_with_growing_delays() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    let mut sent = Vec::new();
    for second in 1..=1000 {
        table.broker.purge();
        table.after(1).await;
        sent.extend((!table.broker.take(9).is_empty()).then_some(second));
    }
    assert_eq!(sent, [60, 180, 420, 900]);
    let row = &table.executions().await[0];
    assert_eq!((row.status, row.publish_count), (Status::Dispatched, 5));
}

#[tokio::test]
async fn an_unconfirmed_publish_is_repeated_after_five_seconds() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.manual.advance(Duration::from_secs(10));
    // Dispatched, but the producer dies before it has published.
    table.poll_once(None).await;
    testkit::execute(
        &table.tenant.tenant.database_url,
        "UPDATE polychron_job_execution SET published_at = NULL, publish_count = 0",
    )
    .await;
    table.broker.purge();
    table.after(4).await;
    assert!(table.broker.take(9).is_empty());
    table.after(1).await;
    assert_eq!(table.broker.take(9).len(), 1);
}

#[tokio::test]
async fn a_publish_that_is_refused_again_does_not_wait_as_if_it_had_been_confirmed() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    table.broker.purge();
    table.broker.refuse();
    table.after(300).await;
    table.broker.accept();
    table.after(10).await;
    assert_eq!(table.broker.take(9).len(), 1, "it comes at the next poll");
    assert_eq!(table.executions().await[0].publish_count, 2, "what was refused doesn't count");
}

#[tokio::test]
async fn a_suspended_tenant_dispatches_nothing_but_its_lost_workers_are_rescued() {
    let mut table = Table::new().await;
    table.add("job", every("1m"), |_| {}).await;
    table.add("long", json!({"at": "2026-11-24T12:00:10Z"}), |job| job.max_attempts = 1).await;
    table.after(10).await;
    table.claim(9).await;
    table.change_tenant(|tenant| tenant.status = TenantStatus::Suspended);
    table.after(110).await;
    assert_eq!(table.counts().await, [("failed", 1)].into());
    table.change_tenant(|tenant| tenant.status = TenantStatus::Active);
    table.poll().await;
    let counts = table.counts().await;
    assert_eq!(counts, [("dispatched", 1), ("failed", 1), ("skipped", 1)].into(), "two minutes");
}

#[tokio::test]
async fn messages_of_a_resumed_tenant_are_sent_again() {
    let table = Table::new().await;
    table.add("job", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    assert_eq!(table.broker.take(9).len(), 1, "consumers discard it: the tenant is suspended");
    table.manual.advance(Duration::from_secs(5));
    poll(&table.poller, &table.tenant, None, SweepScope::All).await;
    table.flush().await;
    assert_eq!(table.broker.take(9).len(), 1);
}
