//! Processes that violate the protocol: no execution is lost or repeated, and the process is replaced.

use serde_json::{Value, json};

use super::{Fixture, how, start_with, table};

async fn one_process() -> Fixture {
    start_with(&table("report", "processes = 1")).await
}

/// Runs it, and returns its result if the process was replaced afterwards.
async fn replaced(payload: Value) -> Value {
    let fixture = one_process().await;
    let before = fixture.run(json!({})).await.result.unwrap();
    let row = fixture.run(payload.clone()).await;
    assert_eq!(how(&row), "success", "{payload}");
    let after = fixture.run(json!({})).await.result.unwrap();
    assert_ne!(before["pid"], after["pid"], "{payload}: it is replaced");
    row.result.unwrap()
}

#[tokio::test]
async fn garbage_is_ignored() {
    for raw in [
        "\n",
        "x\n",
        "{}\n",
        "[1]\n",
        "{\"done\":{}}\n",
        "{\"start\":{}}\n",
        "{\"log\":{\"id\":1}}\n",
    ] {
        assert_eq!(replaced(json!({"do": "raw", "raw": raw})).await, "after raw", "{raw}");
    }
}

#[tokio::test]
async fn an_endless_line_is_skipped() {
    assert_eq!(replaced(json!({"do": "endless"})).await, "after the line");
}

#[tokio::test]
async fn the_first_of_two_answers_counts() {
    assert_eq!(replaced(json!({"do": "twice"})).await, "first");
}

#[tokio::test]
async fn an_answer_for_another_execution_is_ignored() {
    assert_eq!(replaced(json!({"do": "unknown"})).await, "mine");
}

#[tokio::test]
async fn a_second_hello_is_ignored() {
    assert_eq!(replaced(json!({"do": "hello"})).await, "after hello");
}

#[tokio::test]
async fn frequent_progress_is_not_a_violation() {
    let fixture = one_process().await;
    let row = fixture.run(json!({"do": "flood"})).await;
    assert_eq!((how(&row).as_str(), row.result.unwrap()), ("success", json!("after the flood")));
    assert_eq!(row.progress.unwrap()["done"], 19_999);
}
