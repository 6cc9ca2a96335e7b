//! Processes are asked to stop, once or twice, and executions are cancelled.

use polychron_tests::System;
use rustix::process::Signal;
use shared::clock::Clock;
use shared::execution::{ErrorKind, Status};
use testkit::eventually;

use crate::LEASE;
use crate::account::{add_jobs, is_accounted_for};

async fn running(system: &System, count: usize) {
    eventually(&format!("{count} run"), || async {
        let starts = system.records().iter().filter(|record| record.event == "start").count();
        (starts >= count).then_some(())
    })
    .await;
}

async fn nothing_is_running(system: &System) {
    let rows = system.tenants[0].executions().await;
    assert!(rows.iter().all(|row| row.status != Status::Running), "{rows:#?}");
}

#[tokio::test]
async fn short_jobs_end_within_the_drain() {
    let system = System::new(1).await;
    add_jobs(&system, 5, 3.0).await;
    let _producer = system.producer(&[]);
    let mut consumer = system.consumer(&[LEASE]);
    running(&system, 5).await;
    consumer.signal(Signal::TERM);
    assert!(consumer.ended().await.success());
    let rows = system.tenants[0].executions().await;
    assert!(rows.iter().all(|row| row.status == Status::Success), "{rows:#?}");
}

#[tokio::test]
async fn a_second_signal_gives_everything_back_at_once() {
    let system = System::new(1).await;
    add_jobs(&system, 5, 60.0).await;
    let _producer = system.producer(&[]);
    let mut consumer = system.consumer(&[LEASE, ("POLYCHRON_DRAIN_TIMEOUT", "1h")]);
    running(&system, 5).await;
    consumer.signal(Signal::TERM);
    consumer.logged("asked to stop").await;
    consumer.signal(Signal::TERM);
    assert!(consumer.ended().await.success());
    nothing_is_running(&system).await;
    is_accounted_for(&system).await;
}

#[tokio::test]
async fn a_handler_that_blocks_does_not_delay_the_stop() {
    let system = System::new(1).await;
    let mut job = system.record_job("block", 0.0);
    job.job_type = "block".to_owned();
    job.payload = serde_json::json!({"seconds": 300});
    system.tenants[0].store.insert_job(&job).await.unwrap();
    let _producer = system.producer(&[]);
    let mut consumer = system.consumer(&[LEASE, ("POLYCHRON_DRAIN_TIMEOUT", "1s")]);
    eventually("it runs", || async {
        let rows = system.tenants[0].executions().await;
        rows.iter().any(|row| row.status == Status::Running).then_some(())
    })
    .await;
    consumer.signal(Signal::TERM);
    assert!(consumer.ended().await.success());
    nothing_is_running(&system).await;
}

#[tokio::test]
async fn a_cancelled_execution_is_final_within_a_heartbeat() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    add_jobs(&system, 1, 60.0).await;
    let mut job = system.record_job("block", 0.0);
    (job.job_type, job.payload) = ("block".to_owned(), serde_json::json!({"seconds": 30}));
    tenant.store.insert_job(&job).await.unwrap();
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    let rows = eventually("both run", || async {
        let rows = tenant.executions().await;
        (rows.len() == 2 && rows.iter().all(|row| row.status == Status::Running)).then_some(rows)
    })
    .await;
    let cancelled_at = Clock::System.boot_time();
    for row in &rows {
        tenant.store.cancel(row.id, tenant.store.now().await.unwrap()).await.unwrap();
    }
    eventually("both are final", || async {
        let rows = tenant.executions().await;
        rows.iter().all(|row| row.error_kind == Some(ErrorKind::Cancelled)).then_some(())
    })
    .await;
    let took = Clock::System.boot_time() - cancelled_at;
    assert!(took.as_secs() < 4, "a heartbeat of a 5 s lease comes every 1.25 s: {took:?}");
    assert_eq!(tenant.executions().await.len(), 2, "a cancelled one is not tried again");
}
