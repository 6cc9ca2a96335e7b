//! Notifications: one for each change of state, written together with that change.

use serde_json::{Value, json};
use shared::execution::{ErrorKind, Execution, Status};
use shared::id::ExecutionId;
use shared::notification::{Event, NOTIFIER};
use shared::outcome::{Failure, Outcome};
use shared::store::{ExecutionFilter, Notification, Notified, Store};
use testkit::TenantDatabase;

use super::{claimed, end, failure, success, terms};

on_both_stores! {
    the_first_permanent_failure_and_the_recovery_are_notified,
    an_attempt_with_a_successor_is_not_notified,
    a_jobs_target_takes_precedence_over_the_tenants,
    a_finish_that_was_not_written_is_not_notified,
    two_failures_in_one_batch_are_notified_once_each,
    lateness_and_its_end_are_notified_once,
    a_failure_of_the_notifier_is_not_notified,
}

const TARGET: &str = r#"{"url": "https://ops.example/hook"}"#;

fn permanent() -> Outcome {
    let message = "no such account".to_owned();
    Outcome::Failure(Failure { message, detail: None, retry: false, retry_after: None })
}

async fn notify(database: &TenantDatabase, job: &str, target: &str) {
    database
        .execute(&format!("UPDATE polychron_job SET notify = '{target}' WHERE name = '{job}'"))
        .await;
}

/// The notifications, oldest first.
async fn notifications(store: &Store) -> Vec<Execution> {
    let job = Some(NOTIFIER.to_owned());
    let filter = ExecutionFilter { job, ..ExecutionFilter::default() };
    let mut rows = store.list_executions(&filter, 100).await.unwrap();
    rows.sort_by_key(|row| row.scheduled_for);
    rows
}

fn payload_of(row: &Execution) -> Value {
    row.payload.as_ref().unwrap()["notification"].clone()
}

async fn events(store: &Store) -> Vec<String> {
    notifications(store)
        .await
        .iter()
        .map(|row| payload_of(row)["event"].as_str().unwrap().to_owned())
        .collect()
}

/// Claims another occurrence of an existing job.
async fn again(database: &TenantDatabase, store: &Store, job: &str) -> shared::store::Claim {
    let id = database.execution_id();
    let now = database.advance(std::time::Duration::from_secs(60));
    assert!(store.run_job(job, id, None, now).await.unwrap().is_applied());
    database
        .execute(
            "UPDATE polychron_job_execution SET status = 'dispatched' WHERE status = 'scheduled'",
        )
        .await;
    store.claim(&[id], &terms("w"), now).await.unwrap().remove(0)
}

async fn finish(
    database: &TenantDatabase,
    store: &Store,
    claim: &shared::store::Claim,
    outcome: &Outcome,
) -> shared::store::Finished {
    let end = end(database, claim, "w", outcome);
    store.finish(&[end], database.now()).await.unwrap()[0]
}

async fn the_first_permanent_failure_and_the_recovery_are_notified(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    notify(&database, "a", TARGET).await;
    let began = database.now();
    assert!(
        finish(&database, &store, &claim, &permanent()).await.needs_poll,
        "the producer should poll"
    );
    let first = &notifications(&store).await[0];
    assert_eq!((first.status, first.trigger.as_str()), (Status::Scheduled, "manual"));
    assert_eq!(first.payload.as_ref().unwrap()["url"], "https://ops.example/hook");
    assert_eq!(
        payload_of(first),
        json!({
            "event": "failed", "job": "a", "at": began.time(), "since": began.time(), "execution": claim.id,
            "scheduled_for": claim.scheduled_for, "attempt": 1, "error_kind": ErrorKind::Handler,
            "error_message": "no such account",
        })
    );
    let row = store.find_job("a").await.unwrap().unwrap();
    assert_eq!((row.failing_since, row.version), (Some(began.time()), 1));

    let second = again(&database, &store, "a").await;
    finish(&database, &store, &second, &permanent()).await;
    assert_eq!(events(&store).await, ["failed"], "the job was failing already");
    let third = again(&database, &store, "a").await;
    finish(&database, &store, &third, &success()).await;
    assert_eq!(events(&store).await, ["failed", "recovered"]);
    let recovered = payload_of(&notifications(&store).await[1]);
    assert_eq!(
        (&recovered["since"], &recovered["error_kind"]),
        (&json!(began.time()), &Value::Null)
    );
    let fourth = again(&database, &store, "a").await;
    assert!(!finish(&database, &store, &fourth, &success()).await.needs_poll);
    let fifth = again(&database, &store, "a").await;
    finish(&database, &store, &fifth, &permanent()).await;
    assert_eq!(events(&store).await, ["failed", "recovered", "failed"]);
}

async fn an_attempt_with_a_successor_is_not_notified(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    notify(&database, "a", TARGET).await;
    assert!(finish(&database, &store, &claim, &failure()).await.has_next_attempt);
    assert!(notifications(&store).await.is_empty());
    assert_eq!(store.find_job("a").await.unwrap().unwrap().failing_since, None);
    let cancelled = again(&database, &store, "a").await;
    finish(&database, &store, &cancelled, &Outcome::Cancelled).await;
    assert!(notifications(&store).await.is_empty(), "a cancellation is not notified");
}

async fn a_jobs_target_takes_precedence_over_the_tenants(database: TenantDatabase) {
    let store = database.store();
    store.insert_notifier().await.unwrap();
    store.insert_notifier().await.unwrap();
    let tenants = r#"{"url": "https://all.example/", "on": ["failed"]}"#;
    database
        .execute(&format!(
            "UPDATE polychron_job SET payload = '{tenants}' WHERE name = '{NOTIFIER}'"
        ))
        .await;
    for name in ["as-the-tenant", "own", "nobody"] {
        let claim = claimed(&database, &store, name, "w").await;
        match name {
            "own" => notify(&database, name, TARGET).await,
            "nobody" => notify(&database, name, "{}").await,
            _ => {}
        }
        finish(&database, &store, &claim, &permanent()).await;
        assert!(store.find_job(name).await.unwrap().unwrap().failing_since.is_some());
        let well = again(&database, &store, name).await;
        finish(&database, &store, &well, &success()).await;
        assert_eq!(store.find_job(name).await.unwrap().unwrap().failing_since, None);
    }
    let notifications: Vec<(String, String)> = notifications(&store)
        .await
        .iter()
        .map(|row| {
            let url = row.payload.as_ref().unwrap()["url"].as_str().unwrap().to_owned();
            (
                url,
                format!("{} {}", payload_of(row)["job"], payload_of(row)["event"]).replace('"', ""),
            )
        })
        .collect();
    let [ops, all] = ["https://ops.example/hook", "https://all.example/"].map(str::to_owned);
    let expected = [(&all, "as-the-tenant failed"), (&ops, "own failed"), (&ops, "own recovered")];
    assert_eq!(notifications, expected.map(|(url, what)| (url.clone(), what.to_owned())));
}

async fn a_finish_that_was_not_written_is_not_notified(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "a", "w").await;
    notify(&database, "a", TARGET).await;
    let end = end(&database, &claim, "other", &permanent());
    assert!(store.finish(&[end], database.now()).await.unwrap().is_empty());
    assert!(notifications(&store).await.is_empty());
    assert_eq!(store.find_job("a").await.unwrap().unwrap().failing_since, None);
}

async fn two_failures_in_one_batch_are_notified_once_each(database: TenantDatabase) {
    let store = database.store();
    let mut ends = Vec::new();
    for name in ["a", "b"] {
        let claim = claimed(&database, &store, name, "w").await;
        notify(&database, name, TARGET).await;
        ends.push(end(&database, &claim, "w", &permanent()));
        let other = again(&database, &store, name).await;
        ends.push(end(&database, &other, "w", &permanent()));
    }
    ends.sort_by_key(|end| end.id);
    assert_eq!(store.finish(&ends, database.now()).await.unwrap().len(), 4);
    let mut jobs: Vec<Value> =
        notifications(&store).await.iter().map(|row| payload_of(row)["job"].clone()).collect();
    jobs.sort_by_key(Value::to_string);
    assert_eq!(jobs, ["a", "b"]);
}

async fn lateness_and_its_end_are_notified_once(database: TenantDatabase) {
    let store = database.store();
    let id = super::dispatched(&database, &store, "a").await;
    notify(&database, "a", TARGET).await;
    let now = database.advance(std::time::Duration::from_secs(90));
    let unstarted = store.read_unstarted(now, 10).await.unwrap();
    assert_eq!((unstarted[0].id, unstarted.len()), (id, 1));
    assert_eq!(unstarted[0].misfire_grace_seconds, 60);
    let job = unstarted[0].job_id;
    let notify = async |event, execution: Option<ExecutionId>| {
        let notification = Notification { event, id: database.execution_id() };
        store.notify(job, execution, notification, now).await.unwrap()
    };
    assert_eq!(notify(Event::CaughtUp, None).await, Notified::NotNeeded, "it was not late");
    assert_eq!(notify(Event::Late, Some(id)).await, Notified::Inserted);
    assert_eq!(notify(Event::Late, Some(id)).await, Notified::NotNeeded);
    assert_eq!(store.list_late().await.unwrap(), [job]);
    store.claim(&[id], &terms("w"), now).await.unwrap();
    assert!(store.read_unstarted(now, 10).await.unwrap().is_empty());
    assert_eq!(notify(Event::CaughtUp, None).await, Notified::Inserted);
    assert_eq!(notify(Event::CaughtUp, None).await, Notified::NotNeeded);
    assert!(store.list_late().await.unwrap().is_empty());
    assert_eq!(events(&store).await, ["late", "caught_up"]);
    let [late, well] = &notifications(&store).await[..] else {
        panic!("there are two notifications")
    };
    assert_eq!(payload_of(late)["execution"], json!(id));
    assert_eq!(payload_of(well)["since"], payload_of(late)["at"]);
}

async fn a_failure_of_the_notifier_is_not_notified(database: TenantDatabase) {
    let store = database.store();
    store.insert_notifier().await.unwrap();
    database
        .execute(&format!(
            "UPDATE polychron_job SET payload = '{TARGET}' WHERE name = '{NOTIFIER}'"
        ))
        .await;
    let claim = again(&database, &store, NOTIFIER).await;
    finish(&database, &store, &claim, &permanent()).await;
    assert_eq!(notifications(&store).await.len(), 1, "only the requested run");
    assert!(store.find_job(NOTIFIER).await.unwrap().unwrap().failing_since.is_some());
}
