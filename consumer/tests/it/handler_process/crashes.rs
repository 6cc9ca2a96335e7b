//! Processes that die.

use serde_json::json;
use shared::store::NewJob;

use super::{how, job, report, start, start_with, table};

#[tokio::test]
async fn a_death_during_an_execution_is_a_crash_of_that_execution() {
    let fixture = start("").await;
    let cases = [
        (json!({"do": "exit", "status": 0}), "exited with status 0"),
        (json!({"do": "exit", "status": 3}), "exited with status 3"),
        (json!({"do": "kill", "signal": 9}), "was killed by signal 9 (SIGKILL"),
        (json!({"do": "kill", "signal": 11}), "was killed by signal 11 (SIGSEGV)"),
    ];
    for (payload, expected) in cases {
        let row = fixture.run(payload).await;
        let expected = format!("failed/crash: the handler process {expected}");
        assert!(how(&row).starts_with(&expected), "{}", how(&row));
        assert_eq!(row.error_detail.as_deref(), Some("its last output:\nlast words\n"));
        assert_eq!(row.output.as_deref(), Some("last words\n"));
    }
    assert_eq!(how(&fixture.run(json!({})).await), "success");
}

#[tokio::test]
async fn a_crash_is_charged_and_retried() {
    let fixture = start("").await;
    let payload = json!({"do": "exit", "status": 1, "mark": fixture.path("mark")});
    let job = NewJob { max_attempts: 3, retry_base_seconds: 0, ..report(payload) };
    let row = fixture.acme.run_job(&job).await.unwrap();
    assert_eq!(
        (how(&row).as_str(), row.attempt),
        ("failed/crash: the handler process exited with status 1", 3)
    );
    assert_eq!(fixture.marks("mark").len(), 3, "each attempt started once");
}

#[tokio::test]
async fn many_crashes_of_one_tenant_do_not_affect_others() {
    let fixture = start("").await;
    let globex = fixture.engine.add_tenant("globex").await.unwrap();
    let payload = json!({"do": "kill", "signal": 9, "mark": fixture.path("mark")});
    let bad = NewJob { max_attempts: 10, retry_base_seconds: 0, ..report(payload) };
    fixture.add(&fixture.acme, &bad).await;
    for _ in 0..5 {
        let row = globex.run_job(&job("report", json!({}))).await.unwrap();
        assert_eq!(how(&row), "success");
    }
    fixture.marked("mark", 10).await;
    let row = globex.run_job(&job("report", json!({}))).await.unwrap();
    assert_eq!(how(&row), "success", "deaths during an execution do not count");
}

#[tokio::test]
async fn an_answer_before_the_death_counts() {
    let fixture = start_with(&table("report", "processes = 1")).await;
    for _ in 0..10 {
        let row = fixture.run(json!({"do": "done_and_exit"})).await;
        assert_eq!((how(&row).as_str(), row.result), ("success", Some(json!("done"))));
    }
}

#[tokio::test]
async fn a_process_that_closes_its_socket_cannot_answer_and_is_killed() {
    let fixture = start("").await;
    let row = fixture.run(json!({"do": "close"})).await;
    assert!(
        how(&row).starts_with("failed/crash: the handler process was killed by signal 15"),
        "{}",
        how(&row)
    );
    assert_eq!(how(&fixture.run(json!({})).await), "success");
}

#[tokio::test]
async fn a_death_is_noticed_although_a_child_holds_socket_and_streams_open() {
    let fixture = start("").await;
    let payload = json!({"do": "orphan", "status": 4, "child": fixture.path("child")});
    let row = fixture.run(payload).await;
    let expected = "failed/crash: the handler process exited with status 4";
    assert_eq!(how(&row), expected);
    assert_eq!(row.output.as_deref(), Some("last words\n"));
    let child = std::fs::read_to_string(fixture.path("child")).unwrap();
    assert!(!std::path::Path::new("/proc").join(child).exists(), "its child is dead, too");
}

#[tokio::test]
async fn a_process_that_dies_idle_is_replaced() {
    let fixture = start_with(&table("report", "processes = 1")).await;
    for _ in 0..3 {
        assert_eq!(how(&fixture.run(json!({"do": "later"})).await), "success");
    }
}
