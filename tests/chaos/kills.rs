//! Processes are killed, or suspended, at every point of a job's life.

use std::time::Duration;

use polychron_tests::{Process, System, with_python_handlers};
use rustix::process::Signal;
use shared::execution::{ErrorKind, Status};
use testkit::eventually;

use crate::LEASE;
use crate::account::{add_jobs, all_succeed, is_accounted_for};

const JOBS: usize = 30;

/// A process dies at its failpoint, and another of its kind takes over.
async fn dies_at(point: &str, count: u32) {
    let system = System::new(2).await;
    add_jobs(&system, JOBS, 0.05).await;
    let fail = format!("{point}:abort@{count}");
    let fail = ("POLYCHRON_TEST_FAILPOINT", fail.as_str());
    let is_producer = ["before_dispatch", "after_dispatch", "after_confirm"].contains(&point);
    let (mut doomed, _other): (Process, Process) = match is_producer {
        true => (system.producer(&[fail]), system.consumer(&[LEASE])),
        false => (system.consumer(&[LEASE, fail]), system.producer(&[])),
    };
    let status = doomed.ended().await;
    assert!(!status.success(), "{point} was reached");
    let _heir = match is_producer {
        true => system.producer(&[]),
        false => system.consumer(&[LEASE]),
    };
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn producer_dies_before_its_dispatch() {
    dies_at("before_dispatch", 2).await;
}

#[tokio::test]
async fn producer_dies_between_dispatch_and_publish() {
    dies_at("after_dispatch", 2).await;
}

#[tokio::test]
async fn producer_dies_between_confirm_and_its_record() {
    dies_at("after_confirm", 2).await;
}

#[tokio::test]
async fn consumer_dies_between_delivery_and_claim() {
    dies_at("before_claim", 8).await;
}

#[tokio::test]
async fn consumer_dies_between_claim_and_start() {
    dies_at("after_claim", 8).await;
}

#[tokio::test]
async fn consumer_dies_between_effect_and_result() {
    dies_at("after_effect", 8).await;
}

#[tokio::test]
async fn consumer_dies_between_result_and_acknowledgement() {
    dies_at("after_result", 8).await;
}

#[tokio::test]
async fn a_job_that_kills_its_worker_each_time_ends_after_its_attempts() {
    let system = System::new(1).await;
    add_jobs(&system, 1, 0.0).await;
    let _producer = system.producer(&[]);
    let fail = ("POLYCHRON_TEST_FAILPOINT", "after_claim:abort");
    for _ in 0..3 {
        assert!(!system.consumer(&[LEASE, fail]).ended().await.success());
    }
    let tenant = &system.tenants[0];
    let rows = eventually("nothing is open", || async {
        let rows = tenant.executions().await;
        (rows.len() == 3 && rows.iter().all(|row| row.status.is_final())).then_some(rows)
    })
    .await;
    assert!(rows.iter().all(|row| row.error_kind == Some(ErrorKind::Lost)), "{rows:#?}");
    is_accounted_for(&system).await;
}

#[tokio::test]
async fn a_consumer_that_was_suspended_past_its_lease_writes_nothing() {
    let system = System::new(1).await;
    add_jobs(&system, 1, 12.0).await;
    let _producer = system.producer(&[]);
    let sleeper = system.consumer(&[LEASE]);
    eventually("the handler starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    sleeper.signal(Signal::STOP);
    let tenant = &system.tenants[0];
    eventually("the lease is taken back", || async {
        let rows = tenant.executions().await;
        rows.iter().any(|row| row.error_kind == Some(ErrorKind::Lost)).then_some(())
    })
    .await;
    let _heir = system.consumer(&[LEASE]);
    sleeper.signal(Signal::CONT);
    sleeper.logged("no longer this worker's").await;
    all_succeed(&system, 1).await;
    // When the process goes on, the handler is stopped and may still end by itself.
    let rows = tenant.executions().await;
    let lost = rows.iter().find(|row| row.status == Status::Failed).unwrap();
    let lease_until = lost.lease_until.unwrap();
    let late =
        system.records().iter().filter(|r| r.execution == lost.id && r.time > lease_until).count();
    assert!(late <= 4, "{late} ticks after the lease had ended");
}

#[tokio::test]
async fn a_consumer_that_was_suspended_within_its_lease_goes_on() {
    let system = System::new(1).await;
    add_jobs(&system, 1, 4.0).await;
    let _producer = system.producer(&[]);
    let sleeper = system.consumer(&[("POLYCHRON_LEASE", "20s")]);
    eventually("the handler starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    sleeper.signal(Signal::STOP);
    shared::clock::Clock::System.sleep(Duration::from_secs(5)).await;
    sleeper.signal(Signal::CONT);
    all_succeed(&system, 1).await;
    assert_eq!(system.tenants[0].executions().await.len(), 1, "nobody took it");
}

#[tokio::test]
async fn handlers_that_block_panic_or_ignore_a_stop_affect_only_their_own_row() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    for (name, job_type, payload) in [
        ("block", "block", r#"{"seconds": 12}"#),
        ("panic", "panic", r#"{"message": "out of paper"}"#),
        ("slow", "sleep", r#"{"seconds": 60}"#),
        ("unreadable", "sleep", r#"{"seconds": "many"}"#),
        ("unknown", "nobody-knows-this", "{}"),
    ] {
        let mut job = system.record_job(name, 0.0);
        job.job_type = job_type.to_owned();
        job.payload = serde_json::from_str(payload).unwrap();
        (job.timeout_seconds, job.max_attempts) = (Some(3), 1);
        tenant.store.insert_job(&job).await.unwrap();
    }
    add_jobs(&system, JOBS, 0.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    let rows = eventually("all is final", || async {
        let rows = tenant.executions().await;
        (rows.len() == JOBS + 5 && rows.iter().all(|row| row.status.is_final())).then_some(rows)
    })
    .await;
    let kind = |name: &str| {
        let row = rows.iter().find(|row| row.job_name.as_deref() == Some(name)).unwrap();
        (row.error_kind, row.error_message.clone().unwrap_or_default())
    };
    assert_eq!(kind("block").0, Some(ErrorKind::Timeout));
    assert_eq!(kind("slow").0, Some(ErrorKind::Timeout));
    match with_python_handlers() {
        true => assert_eq!(kind("panic").0, Some(ErrorKind::Crash)),
        false => assert_eq!(kind("panic"), (Some(ErrorKind::Panic), "out of paper".to_owned())),
    }
    assert!(kind("unreadable").1.contains("payload.seconds"), "{}", kind("unreadable").1);
    assert_eq!(kind("unknown").0, Some(ErrorKind::UnknownType));
    assert_eq!(rows.iter().filter(|row| row.status == Status::Success).count(), JOBS);
    is_accounted_for(&system).await;
}
