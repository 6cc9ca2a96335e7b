//! Lost processes, messages and queues delay runs, but none is lost.

use polychron_tests::{System, TestTenant};
use rustix::process::Signal;
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use testkit::{eventually, management};

/// A short lease, to notice a lost worker soon.
const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");

/// Waits until each of these jobs has succeeded and nothing is open.
async fn all_succeed(tenant: &TestTenant, jobs: usize) -> Vec<Execution> {
    eventually(&format!("{jobs} successes at {}", tenant.slug), || async {
        let rows = tenant.executions().await;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == jobs && rows.iter().all(|row| row.status.is_final())).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn a_consumer_killed_in_the_middle_of_a_job_costs_one_attempt() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&system.record_job("long", 8.0)).await.unwrap();
    let _producer = system.producer(&[]);
    let consumer = system.consumer(&[LEASE]);
    eventually("the handler starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    consumer.kill();
    let _consumer = system.consumer(&[LEASE]);
    let rows = all_succeed(tenant, 1).await;
    let [lost, rescued] = rows.as_slice() else { panic!("{rows:#?}") };
    assert_eq!((lost.status, lost.error_kind), (Status::Failed, Some(ErrorKind::Lost)));
    assert_eq!((rescued.attempt, rescued.trigger), (2, Trigger::Rescue));
    assert_eq!(lost.scheduled_for, rescued.scheduled_for);
    system.check_occurrences().await;
}

#[tokio::test]
async fn producers_killed_while_they_dispatch_lose_nothing() {
    const JOBS: usize = 1000;
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    for n in 0..JOBS {
        tenant.store.insert_job(&system.record_job(&format!("job-{n}"), 0.0)).await.unwrap();
    }
    let _consumer = system.consumer(&[]);
    for tenth in 1..=5 {
        let producer = system.producer(&[]);
        let enough = tenth * JOBS / 10;
        eventually("some more are dispatched", || async {
            (tenant.executions().await.len() >= enough).then_some(())
        })
        .await;
        producer.kill();
    }
    let _producer = system.producer(&[]);
    let rows = all_succeed(tenant, JOBS).await;
    assert_eq!(rows.len(), JOBS, "each has one row");
    let started = system.records().iter().filter(|record| record.event == "start").count();
    assert_eq!(started, JOBS, "each ran once");
    system.check_occurrences().await;
}

#[tokio::test]
async fn a_purged_and_a_deleted_queue_lose_nothing() {
    const JOBS: usize = 20;
    for loss in ["contents", ""] {
        let system = System::new(1).await;
        let tenant = &system.tenants[0];
        for n in 0..JOBS {
            tenant.store.insert_job(&system.record_job(&format!("job-{n}"), 0.0)).await.unwrap();
        }
        // Dispatched, without a consumer to execute it.
        let producer = system.producer(&[]);
        eventually("messages are in the queue", || async {
            let rows = tenant.executions().await;
            rows.iter().any(|row| row.published_at.is_some()).then_some(())
        })
        .await;
        producer.kill();
        let (_, vhost) = system.amqp_url.rsplit_once('/').unwrap();
        let path = format!("/api/queues/{vhost}/polychron.jobs.default/{loss}");
        management("DELETE", path.trim_end_matches('/'), "").await;
        // The sweeper would wait longer than the test.
        tenant.forget_publishes().await;
        let _running = (system.producer(&[]), system.consumer(&[]));
        let rows = all_succeed(tenant, JOBS).await;
        assert_eq!(rows.len(), JOBS);
        system.check_occurrences().await;
    }
}

#[tokio::test]
async fn a_consumer_asked_to_stop_leaves_nothing_running() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&system.record_job("long", 60.0)).await.unwrap();
    let _producer = system.producer(&[]);
    let mut consumer = system.consumer(&[("POLYCHRON_DRAIN_TIMEOUT", "1s")]);
    eventually("the handler starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    consumer.signal(Signal::TERM);
    let status = consumer.ended().await;
    assert!(status.success(), "{status}");
    let rows = tenant.executions().await;
    assert!(rows.iter().all(|row| row.status != Status::Running), "{rows:#?}");
    assert_eq!(rows[0].error_kind, Some(ErrorKind::Shutdown));
    assert_eq!((rows[1].attempt, rows[1].trigger), (2, Trigger::Rescue));
}
