//! Processes that hold several executions at once.

use std::collections::BTreeSet;

use serde_json::json;
use shared::store::NewJob;
use testkit::eventually;

use super::{ended, how, report, start_with, table};

fn pids(marks: &[String]) -> BTreeSet<&str> {
    marks.iter().filter_map(|mark| mark.split(' ').next()).collect()
}

#[tokio::test]
async fn one_process_holds_several_executions_of_one_tenant() {
    let fixture = start_with(&table("--concurrency 3 report", "processes = 2")).await;
    let globex = fixture.engine.add_tenant("globex").await.unwrap();
    let payload = json!({"mark": fixture.path("mark"), "wait": fixture.path("go")});
    for _ in 0..3 {
        fixture.add(&fixture.acme, &report(payload.clone())).await;
    }
    assert_eq!(pids(&fixture.marked("mark", 3).await).len(), 1, "all in one process");
    fixture.add(&globex, &report(payload.clone())).await;
    let marks = fixture.marked("mark", 4).await;
    assert_eq!(pids(&marks).len(), 2, "another tenant gets a process of its own: {marks:?}");
    fixture.touch("go");
}

#[tokio::test]
async fn what_a_process_with_several_executions_prints_belongs_to_none_of_them() {
    let fixture = start_with(&table("--concurrency 2 report", "processes = 1")).await;
    let row = fixture.run(json!({"do": "say", "text": "hello"})).await;
    assert_eq!(row.output.as_deref(), Some("WARNING hello\n"), "the message `log` does");
}

#[tokio::test]
async fn tenants_share_a_process_if_the_operator_says_so() {
    let more = "processes = 1\nshare_tenants = true";
    let fixture = start_with(&table("--concurrency 3 report", more)).await;
    let globex = fixture.engine.add_tenant("globex").await.unwrap();
    let payload = json!({"mark": fixture.path("mark"), "wait": fixture.path("go")});
    fixture.add(&fixture.acme, &report(payload.clone())).await;
    fixture.add(&globex, &report(payload.clone())).await;
    assert_eq!(pids(&fixture.marked("mark", 2).await).len(), 1);
    fixture.touch("go");
}

#[tokio::test]
async fn a_busy_tenant_does_not_keep_the_process_from_others() {
    let fixture = start_with(&table("--concurrency 2 report", "processes = 1")).await;
    let globex = fixture.engine.add_tenant("globex").await.unwrap();
    let payload = json!({"mark": fixture.path("mark"), "do": "sleep", "seconds": 0.05});
    for _ in 0..30 {
        fixture.add(&fixture.acme, &report(payload.clone())).await;
    }
    fixture.marked("mark", 1).await;
    fixture.add(&globex, &report(payload)).await;
    let marks = eventually("globex's turn", || async {
        let marks = fixture.marks("mark");
        marks.iter().any(|mark| mark.contains("globex")).then_some(marks)
    })
    .await;
    assert!(marks.len() < 31, "it did not have to wait for all of acme's: {}", marks.len());
}

#[tokio::test]
async fn a_stuck_execution_stops_its_process_after_the_others_have_finished() {
    let fixture = start_with(&table("--concurrency 2 report", "processes = 1")).await;
    let other = report(json!({"wait": fixture.path("go"), "mark": fixture.path("mark")}));
    let other = fixture.begin(&other).await;
    fixture.marked("mark", 1).await;
    let stuck = NewJob {
        timeout_seconds: Some(1),
        ..report(json!({"do": "sleep", "seconds": 600, "mark": fixture.path("mark")}))
    };
    let stuck = fixture.begin(&stuck).await;
    fixture.marked("mark", 2).await;
    assert_eq!(
        how(&ended(&fixture.acme.store, stuck).await),
        "failed/timeout: ran longer than its 1s"
    );
    // The next one gets no place in that process, which is about to be replaced.
    let next = report(json!({"mark": fixture.path("mark")}));
    fixture.add(&fixture.acme, &next).await;
    let next = fixture.marked("mark", 3).await;
    assert_eq!(pids(&next).len(), 2, "{next:?}");
    fixture.touch("go");
    assert_eq!(how(&ended(&fixture.acme.store, other).await), "success");
}

#[tokio::test]
async fn a_crash_of_a_shared_process_ends_all_its_executions() {
    let fixture = start_with(&table("--concurrency 2 report", "processes = 1")).await;
    let payload = json!({"wait": fixture.path("never"), "mark": fixture.path("mark")});
    let other = fixture.begin(&report(payload)).await;
    fixture.marked("mark", 1).await;
    let row = fixture.run(json!({"do": "exit", "status": 7})).await;
    assert_eq!(how(&row), "failed/crash: the handler process exited with status 7");
    assert_eq!(how(&ended(&fixture.acme.store, other).await), how(&row));
}

#[tokio::test]
async fn executions_beside_a_stuck_one_are_given_back_uncharged() {
    let fixture = start_with(&table("--concurrency 2 report", "processes = 1")).await;
    let other = NewJob {
        max_attempts: 1,
        ..report(json!({"mark": fixture.path("mark"), "wait": fixture.path("go")}))
    };
    let first = fixture.begin(&other).await;
    fixture.marked("mark", 1).await;
    let stuck =
        NewJob { timeout_seconds: Some(1), ..report(json!({"do": "sleep", "seconds": 600})) };
    fixture.begin(&stuck).await;
    let row = ended(&fixture.acme.store, first).await;
    assert!(how(&row).starts_with("cancelled/shutdown: "), "{}", how(&row));
    fixture.touch("go");
    let last = eventually("the next attempt", || async {
        let rows = fixture.acme.executions(&other.name).await.unwrap();
        rows.into_iter().find(|row| row.attempt == 2 && row.status.is_final())
    })
    .await;
    assert_eq!(how(&last), "success", "although one attempt is allowed");
}
