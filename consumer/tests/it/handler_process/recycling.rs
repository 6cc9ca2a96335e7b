//! Recycling: a process is replaced after a number of executions, or above a memory limit.

use serde_json::json;

use super::{how, start_with, table};

#[tokio::test]
async fn a_process_is_replaced_after_a_number_of_executions() {
    let fixture = start_with(&table("report", "processes = 1\nrecycle_after = 2")).await;
    let mut pids = Vec::new();
    for _ in 0..5 {
        let row = fixture.run(json!({})).await;
        assert_eq!(how(&row), "success");
        pids.push(row.result.unwrap()["pid"].as_i64().unwrap());
    }
    let same: Vec<bool> = pids.windows(2).map(|pair| pair[0] == pair[1]).collect();
    assert_eq!(same, [true, false, true, false], "{pids:?}");
}

#[tokio::test]
async fn a_process_is_replaced_once_it_is_too_large() {
    let fixture = start_with(&table("report", "processes = 1\nrecycle_above_mib = 100")).await;
    let mut pids = Vec::new();
    for mib in [1, 200, 1] {
        let result = fixture.run(json!({"do": "grow", "mib": mib})).await.result.unwrap();
        pids.push(result["pid"].as_i64().unwrap());
    }
    assert!(pids[0] == pids[1] && pids[1] != pids[2], "{pids:?}");
}
