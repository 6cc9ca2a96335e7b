//! Deadline, cancel, lost lease and shutdown.

use std::time::Duration;

use serde_json::{Value, json};
use shared::store::NewJob;
use testkit::eventually;

use super::{alive, ended, gone, how, job, report, start, start_with, table, unique, with_secret};

fn one_second(payload: Value) -> NewJob {
    NewJob { timeout_seconds: Some(1), ..report(payload) }
}

#[tokio::test]
async fn a_handler_that_honours_the_cancel_keeps_its_process() {
    let fixture = start_with(&table("report", "processes = 1")).await;
    let first = fixture.run(json!({})).await.result.unwrap();
    let row = fixture.acme.run_job(&one_second(json!({"do": "honour"}))).await.unwrap();
    assert_eq!(how(&row), "failed/timeout: ran longer than its 1s");
    let next = fixture.run(json!({})).await.result.unwrap();
    assert_eq!(first["pid"], next["pid"]);
}

#[tokio::test]
async fn one_that_ignores_everything_is_killed_with_its_whole_tree() {
    let fixture =
        start_with(&table("report", "processes = 1\nenvironment = { IGNORE_SIGTERM = '1' }")).await;
    let name = unique();
    let first = fixture.run(json!({})).await.result.unwrap();
    let job = one_second(json!({"do": "ignore", "name": name}));
    let id = fixture.begin(&job).await;
    eventually("its child runs", || async { (alive(&name) > 0).then_some(()) }).await;
    let row = ended(&fixture.acme.store, id).await;
    assert_eq!(how(&row), "failed/timeout: ran longer than its 1s");
    assert!(alive(&name) > 0, "the row does not wait for the process");
    gone(&name).await;
    let next = fixture.run(json!({})).await.result.unwrap();
    assert_ne!(first["pid"], next["pid"], "a fresh process");
}

#[tokio::test]
async fn a_request_to_cancel_reaches_the_handler() {
    let fixture = start("").await;
    let id = fixture.begin(&report(json!({"do": "honour"}))).await;
    fixture.acme.store.cancel(id, fixture.acme.store.now().await.unwrap()).await.unwrap();
    assert_eq!(
        how(&ended(&fixture.acme.store, id).await),
        "cancelled/cancelled: cancelled on request"
    );
}

#[tokio::test]
async fn a_process_that_is_stopped_or_reads_nothing_is_killed_after_the_deadline() {
    for payload in [json!({"do": "stop"}), json!({"do": "deaf", "ballast": "x".repeat(60_000)})] {
        let fixture = start_with(&table("report", "processes = 1")).await;
        let first = fixture.run(json!({})).await.result.unwrap();
        let row = fixture.acme.run_job(&one_second(payload.clone())).await.unwrap();
        assert_eq!(how(&row), "failed/timeout: ran longer than its 1s", "{payload}");
        let next = fixture.run(json!({})).await.result.unwrap();
        assert_ne!(first["pid"], next["pid"], "a fresh process");
    }
}

#[tokio::test]
async fn a_full_socket_delays_only_its_own_process() {
    let folder = testkit::Folder::new();
    let settings = with_secret(&folder, &"hunter2-".repeat(2000));
    let more = table("--concurrency 2 report", "processes = 1");
    let fixture = start_with(&format!("{settings}{more}")).await;
    let first = fixture.run(json!({})).await.result.unwrap();
    let three_seconds = |payload| NewJob { timeout_seconds: Some(3), ..report(payload) };
    let deaf = fixture.begin(&three_seconds(json!({"do": "deaf"}))).await;
    // Far more than a socket's buffer holds.
    let many = vec![json!({"$secret": "SMTP"}); 60];
    let full = fixture.begin(&three_seconds(json!({"many": many}))).await;
    let row = fixture.acme.run_job(&job("rust", json!(1))).await.unwrap();
    assert_eq!(how(&row), "success");
    for id in [deaf, full] {
        let row = ended(&fixture.acme.store, id).await;
        assert_eq!(how(&row), "failed/timeout: ran longer than its 3s");
    }
    let next = fixture.run(json!({})).await.result.unwrap();
    assert_ne!(first["pid"], next["pid"], "a fresh process");
}

#[tokio::test]
async fn a_slot_is_busy_until_the_tree_is_dead() {
    let settings = format!(
        "prefetch = 1\n{}",
        table("report", "processes = 4\nenvironment = { IGNORE_SIGTERM = '1' }")
    );
    let fixture = start_with(&settings).await;
    let name = unique();
    let id = fixture.begin(&one_second(json!({"do": "ignore", "name": name}))).await;
    let mark = fixture.path("mark");
    let next = report(json!({"mark": mark}));
    fixture.add(&fixture.acme, &next).await;
    ended(&fixture.acme.store, id).await;
    while alive(&name) > 0 {
        // Read the marks before checking the tree, so that they were written while the tree lived.
        let marks = fixture.marks("mark");
        assert!(alive(&name) == 0 || marks.is_empty(), "two executions in one slot");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fixture.marked("mark", 1).await;
}

#[tokio::test]
async fn a_shutdown_ends_what_runs_uncharged_and_kills_the_processes() {
    let settings = format!("drain_timeout = '0s'\n{}", table("report", ""));
    let fixture = start_with(&settings).await;
    let name = unique();
    let id = fixture.begin(&report(json!({"do": "ignore", "name": name}))).await;
    eventually("its child runs", || async { (alive(&name) > 0).then_some(()) }).await;
    let store = fixture.acme.store.clone();
    fixture.engine.stop();
    let row = ended(&store, id).await;
    assert!(how(&row).starts_with("cancelled/shutdown: "), "{}", how(&row));
    gone(&name).await;
}

#[tokio::test]
async fn processes_die_with_their_consumer() {
    let name = unique();
    let fixture = start_with(&table(&format!("report {name}"), "")).await;
    fixture.run(json!({})).await;
    assert!(alive(&name) > 0);
    drop(fixture);
    gone(&name).await;
}
