//! A late job causes one notification, and another one when it has caught up.

use polychron_producer::sweeper::SweepScope;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::execution::Status;
use shared::notification::NOTIFIER;
use shared::outcome::Outcome;
use shared::tenant::TenantStatus;

use crate::table::{Table, every, poll};

/// The events of the notifications, oldest first.
async fn notified(table: &Table) -> Vec<String> {
    let notifier = table.tenant.store.find_job(NOTIFIER).await.unwrap();
    let Some(notifier) = notifier else { return Vec::new() };
    let rows = table.executions().await;
    let rows = rows.iter().filter(|row| row.job_id == notifier.id);
    let event = |payload: &Value| payload["notification"]["event"].as_str().unwrap().to_owned();
    rows.map(|row| event(row.payload.as_ref().unwrap())).collect()
}

/// Runs everything that is dispatched. Some messages may be duplicates.
async fn run(table: &Table) {
    let claims: BTreeMap<_, _> =
        table.claim(99).await.into_iter().map(|claim| (claim.id, claim)).collect();
    for claim in claims.values() {
        table.finish(claim, Outcome::Success(1.into())).await;
    }
}

async fn add(table: &Table, name: &str, grace: i32) {
    table
        .add(name, every("10m"), |job| {
            job.misfire_grace_seconds = grace;
            job.notify = Some(json!({"url": "https://ops.example/"}));
        })
        .await;
}

#[tokio::test]
async fn a_job_that_is_late_notifies_when_that_begins_and_when_it_ends() {
    let table = Table::new().await;
    add(&table, "job", 60).await;
    table.after(600).await; // dispatched, and not claimed
    table.after(55).await;
    assert!(notified(&table).await.is_empty(), "within its grace");
    table.after(10).await;
    assert_eq!(notified(&table).await, ["late"]);
    for _ in 0..12 {
        table.after(10).await;
    }
    assert_eq!(notified(&table).await, ["late"], "it is known already");
    run(&table).await;
    table.after(10).await;
    assert_eq!(notified(&table).await, ["late", "caught_up"]);
    let rows = table.executions().await;
    let waiting = rows.iter().filter(|row| row.payload.is_some()).map(|row| row.status);
    assert!(
        waiting.clone().all(|status| status != Status::Scheduled),
        "they are dispatched at once"
    );
    table.after(60).await;
    assert_eq!(notified(&table).await, ["late", "caught_up"]);
}

#[tokio::test]
async fn a_job_is_late_after_its_own_grace() {
    let table = Table::new().await;
    add(&table, "patient", 200).await;
    add(&table, "hasty", 1).await;
    table.after(600).await;
    table.after(50).await;
    assert!(notified(&table).await.is_empty(), "a few seconds are not lateness");
    table.after(20).await;
    assert_eq!(notified(&table).await, ["late"]);
    table.after(140).await;
    assert_eq!(notified(&table).await, ["late", "late"]);
}

#[tokio::test]
async fn another_producer_does_not_notify_again() {
    let table = Table::new().await;
    add(&table, "job", 60).await;
    table.after(600).await;
    table.after(70).await;
    let (other, _driver) = table.another_poller();
    poll(&other, &table.tenant, None, SweepScope::Overdue).await;
    assert_eq!(notified(&table).await, ["late"]);
    run(&table).await;
    table.manual.advance(std::time::Duration::from_secs(10));
    poll(&other, &table.tenant, None, SweepScope::Overdue).await;
    table.poll().await;
    assert_eq!(notified(&table).await, ["late", "caught_up"]);
}

#[tokio::test]
async fn a_suspension_is_no_lateness() {
    let mut table = Table::new().await;
    add(&table, "job", 60).await;
    table.after(600).await;
    table.change_tenant(|tenant| tenant.status = TenantStatus::Suspended);
    table.after(3000).await;
    assert!(notified(&table).await.is_empty());
    table.change_tenant(|tenant| tenant.status = TenantStatus::Active);
    poll(&table.poller, &table.tenant, None, SweepScope::All).await;
    assert!(notified(&table).await.is_empty(), "it is given time to start");
}
