//! Handlers that harm the process they run in.

use polychron_tests::{Process, System};
use rustix::process::Signal;
use serde_json::json;
use shared::execution::{ErrorKind, Status};
use testkit::eventually;

use crate::LEASE;
use crate::account::{Recovery, add_jobs, all_succeed, is_accounted_for};

fn consumer(system: &System) -> Process {
    system.program("polychron-misbehaving", &[], &[LEASE])
}

/// One value of a process from `/proc/PID/status`.
fn status_of(process: &Process, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// What a handler leaks stays until the process ends. Nothing else is affected meanwhile, and a stop is
/// not delayed.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "what was leaked is worth seeing")]
async fn handlers_leak_threads_futures_and_memory() {
    const LEAKS: usize = 50;
    let system = System::new(1).await;
    let _producer = system.producer(&[]);
    let mut consumer = consumer(&system);
    consumer.logged("connected to the broker for receiving").await;
    let figures = |process: &Process| (status_of(process, "Threads"), status_of(process, "VmRSS"));
    let before = figures(&consumer);
    for n in 0..LEAKS {
        let mut job = system.record_job(&format!("leak-{n}"), 0.0);
        (job.job_type, job.payload) = ("leak".to_owned(), json!({"megabytes": 2}));
        system.tenants[0].store.insert_job(&job).await.unwrap();
    }
    eventually("all have leaked", || async {
        let rows = system.tenants[0].executions().await;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == LEAKS).then_some(())
    })
    .await;
    add_jobs(&system, 50, 0.0).await;
    all_succeed(&system, 50 + LEAKS).await;
    let after = figures(&consumer);
    println!("threads and KiB: {before:?} became {after:?}");
    assert!(after.0 > LEAKS as u64, "they did leak");
    consumer.signal(Signal::TERM);
    let recovery = Recovery::begins();
    assert!(consumer.ended().await.success());
    recovery.ends();
}

#[tokio::test]
async fn a_handler_takes_its_process_down_each_time() {
    const JOBS: usize = 30;
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    let mut poison = system.record_job("poison", 0.0);
    (poison.job_type, poison.payload) = ("abort".to_owned(), json!({}));
    tenant.store.insert_job(&poison).await.unwrap();
    for n in 0..JOBS {
        let mut job = system.record_job(&format!("job-{n}"), 0.5);
        // Jobs that run beside the one that crashes lose an attempt, too.
        job.max_attempts = 10;
        tenant.store.insert_job(&job).await.unwrap();
    }
    let _producer = system.producer(&[]);
    for _ in 0..3 {
        assert!(!consumer(&system).ended().await.success(), "it was taken down");
    }
    let _heir = consumer(&system);
    let recovery = Recovery::begins();
    let rows = eventually("all is final", || async {
        let rows = tenant.executions().await;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == JOBS && rows.iter().all(|row| row.status.is_final())).then_some(rows)
    })
    .await;
    recovery.ends();
    let poisoned: Vec<_> =
        rows.iter().filter(|row| row.job_name.as_deref() == Some("poison")).collect();
    assert_eq!(poisoned.len(), 3, "it ends after its attempts");
    assert!(poisoned.iter().all(|row| row.error_kind == Some(ErrorKind::Lost)), "{poisoned:#?}");
    is_accounted_for(&system).await;
}
