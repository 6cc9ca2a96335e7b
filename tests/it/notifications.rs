//! Notifications reach a real web server, even if a process dies on the way.

use polychron_tests::{Call, Hook, System, TestTenant, due_now};
use serde_json::{Value, json};
use shared::execution::{ErrorKind, Execution, Status};
use shared::id::ExecutionId;
use shared::notification::NOTIFIER;
use shared::store::{ExecutionFilter, NewJob};
use testkit::eventually;

/// The hook is on this machine, so calls to it must be allowed.
const ALLOW: (&str, &str) = ("POLYCHRON_HTTP_ALLOW", "127.0.0.1");
/// A short lease, to notice a lost worker soon.
const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");

/// A job that fails and is not retried.
fn failing(name: &str, url: &str) -> NewJob {
    NewJob {
        payload: json!({"message": "no such account"}),
        max_attempts: 1,
        notify: Some(json!({"url": url})),
        ..NewJob::new(name, "fail", due_now())
    }
}

/// The executions of notifications, oldest first.
async fn notification_rows(tenant: &TestTenant) -> Vec<Execution> {
    let job = Some(NOTIFIER.to_owned());
    let filter = ExecutionFilter { job, ..ExecutionFilter::default() };
    let mut rows = tenant.store.list_executions(&filter, 100).await.unwrap();
    rows.reverse();
    rows
}

async fn calls(hook: &Hook, count: usize) -> Vec<Call> {
    eventually(&format!("{count} calls arrived"), || async {
        let calls = hook.calls();
        (calls.len() >= count).then_some(calls)
    })
    .await
}

#[tokio::test]
async fn a_failure_and_its_recovery_are_notified_once_each() {
    let (system, hook) = (System::new(1).await, Hook::start(0).await);
    let tenant = &system.tenants[0];
    let _running = (system.producer(&[]), system.consumer(&[ALLOW]));
    tenant.store.insert_job(&failing("import", &hook.url)).await.unwrap();
    let first = calls(&hook, 1).await.remove(0);
    assert_eq!(first.headers["polychron-tenant"], "t0");
    assert_eq!(first.headers["webhook-id"], first.headers["idempotency-key"]);
    let body = &first.body;
    assert_eq!(
        (&body["event"], &body["tenant"], &body["job"]),
        (&json!("failed"), &json!("t0"), &json!("import"))
    );
    assert_eq!(body["error_kind"], json!(ErrorKind::Handler));
    assert_eq!(body["error_message"], "no such account");
    let row: ExecutionId = serde_json::from_value(body["execution"].clone()).unwrap();
    let row = tenant.store.find_execution(row).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Failed);

    let run = async |payload: Value| {
        let now = tenant.store.now().await.unwrap();
        let id = ExecutionId::new(now.time(), &shared::random::Random::system());
        assert!(
            tenant.store.run_job("import", id, Some(&payload), now).await.unwrap().is_applied()
        );
        eventually("it is over", || async {
            let row = tenant.store.find_execution(id).await.unwrap().unwrap();
            row.status.is_final().then_some(())
        })
        .await;
    };
    run(json!({"message": "no"})).await;
    run(json!({"message": "no", "until_attempt": 1})).await;
    let all = calls(&hook, 2).await;
    assert_eq!(all[1].body["event"], "recovered");
    assert_eq!(all[1].body["since"], all[0].body["at"]);
    assert_ne!(all[0].headers["idempotency-key"], all[1].headers["idempotency-key"]);
    eventually("both are done with", || async {
        let rows = notification_rows(tenant).await;
        (rows.len() == 2 && rows.iter().all(|row| row.status == Status::Success)).then_some(())
    })
    .await;
    assert_eq!(hook.calls().len(), 2);
    system.check_occurrences().await;
}

#[tokio::test]
async fn the_call_is_made_even_if_a_process_dies_after_the_failure() {
    let (system, hook) = (System::new(1).await, Hook::start(0).await);
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&failing("import", &hook.url)).await.unwrap();
    let producer = system.producer(&[]);
    eventually("it is dispatched and published", || async {
        let rows = tenant.executions().await;
        rows.iter().any(|row| row.published_at.is_some()).then_some(())
    })
    .await;
    // Without a producer the notification is recorded, but not sent.
    producer.kill();
    let consumer = system.consumer(&[ALLOW]);
    let waiting = eventually("the notification is written", || async {
        notification_rows(tenant).await.pop()
    })
    .await;
    assert_eq!(waiting.status, Status::Scheduled);
    consumer.kill();
    assert!(hook.calls().is_empty());
    let _running = (system.producer(&[]), system.consumer(&[ALLOW]));
    let calls = calls(&hook, 1).await;
    assert_eq!(calls[0].body["event"], "failed");
    eventually("it is done with", || async {
        (notification_rows(tenant).await[0].status == Status::Success).then_some(())
    })
    .await;
    assert_eq!(hook.calls().len(), 1);
    system.check_occurrences().await;
}

#[tokio::test]
async fn a_call_that_was_cut_off_by_a_kill_is_repeated_with_the_same_key() {
    let (system, hook) = (System::new(1).await, Hook::start(1).await);
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&failing("import", &hook.url)).await.unwrap();
    let _producer = system.producer(&[]);
    let consumer = system.consumer(&[ALLOW, LEASE]);
    calls(&hook, 1).await;
    consumer.kill();
    let _consumer = system.consumer(&[ALLOW, LEASE]);
    let both = calls(&hook, 2).await;
    assert_eq!(both[0].body, both[1].body);
    assert_eq!(both[0].headers["idempotency-key"], both[1].headers["idempotency-key"]);
    let attempts: Vec<&str> =
        both.iter().map(|call| call.headers["polychron-attempt"].as_str()).collect();
    assert_eq!(attempts, ["1", "2"]);
    system.check_occurrences().await;
}
