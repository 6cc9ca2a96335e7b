//! Without faults everything runs once, in time, and in the right database.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use polychron_tests::{System, TestTenant, most_at_once};
use rustix::process::Signal;
use serde_json::json;
use shared::execution::{Execution, Status};
use shared::store::NewJob;
use testkit::eventually;

/// Waits until a tenant has this many executions, all final.
async fn all_final(tenant: &TestTenant, count: usize) -> Vec<Execution> {
    eventually(&format!("{count} final executions of {}", tenant.slug), || async {
        let rows = tenant.executions().await;
        let is_final = rows.iter().all(|row| row.status.is_final());
        (rows.len() >= count && is_final).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn thousands_due_at_once_run_once_each_in_their_own_database() {
    const JOBS: usize = 2000;
    let system = System::new(3).await;
    for tenant in &system.tenants {
        for n in 0..JOBS {
            tenant.store.insert_job(&system.record_job(&format!("job-{n}"), 0.0)).await.unwrap();
        }
    }
    let _producers = [system.producer(&[]), system.producer(&[])];
    let consumers = [system.consumer(&[]), system.consumer(&[]), system.consumer(&[])];
    let mut ids = BTreeSet::new();
    for tenant in &system.tenants {
        let rows = all_final(tenant, JOBS).await;
        assert_eq!(rows.len(), JOBS, "of {}", tenant.slug);
        assert!(rows.iter().all(|row| row.status == Status::Success && row.attempt == 1));
        ids.extend(rows.iter().map(|row| row.id));
    }
    let records = system.records();
    let started: Vec<_> = records.iter().filter(|record| record.event == "start").collect();
    assert_eq!(started.len(), 3 * JOBS, "no handler started twice");
    let started: BTreeSet<_> = started.iter().map(|record| record.execution).collect();
    assert_eq!(started, ids, "what ran is what the rows say");
    let most = most_at_once(&records);
    assert_eq!(most.len(), consumers.len(), "the work was shared: {most:?}");
    assert!(most.values().all(|most| *most <= 5), "never more than five at once: {most:?}");
    system.check_occurrences().await;
}

#[tokio::test]
async fn one_program_is_producer_and_consumer() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&system.record_job("job", 0.0)).await.unwrap();
    let mut processes =
        ["producer", "consumer"].map(|verb| system.program("polychron", &[verb], &[]));
    let rows = all_final(tenant, 1).await;
    assert!(rows.iter().all(|row| row.status == Status::Success));
    for process in &mut processes {
        process.signal(Signal::TERM);
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    }
    system.check_occurrences().await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the lateness is worth seeing, but no reason to fail")]
async fn every_second_has_its_row() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    for n in 0..10 {
        let job = NewJob::new(&format!("every-second-{n}"), "noop", json!({"every": "1s"}));
        tenant.store.insert_job(&job).await.unwrap();
    }
    let _running = (system.producer(&[]), system.consumer(&[]));
    let rows = eventually("ten seconds of ten jobs", || async {
        let rows = tenant.executions().await;
        (rows.len() >= 100).then_some(rows)
    })
    .await;
    let mut by_job: BTreeMap<_, Vec<&Execution>> = BTreeMap::new();
    for row in &rows {
        by_job.entry(row.job_id).or_default().push(row);
    }
    assert_eq!(by_job.len(), 10);
    for rows in by_job.values_mut() {
        rows.sort_by_key(|row| row.scheduled_for);
        for pair in rows.windows(2) {
            let step = pair[1].scheduled_for - pair[0].scheduled_for;
            assert_eq!(
                step,
                TimeDelta::seconds(i64::from(pair[1].stands_for)),
                "no second is missing"
            );
        }
    }
    system.check_occurrences().await;
    let mut late: Vec<i64> = rows
        .iter()
        .filter_map(|row| Some((row.started_at? - row.scheduled_for).num_milliseconds()))
        .collect();
    late.sort_unstable();
    let at = |percentile: usize| late[(late.len() - 1) * percentile / 100];
    println!(
        "lateness of {} runs in ms: p50 {}, p99 {}, worst {}",
        late.len(),
        at(50),
        at(99),
        at(100)
    );
}
