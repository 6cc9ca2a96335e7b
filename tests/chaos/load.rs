//! A day's outage, and hostile rows.

use std::collections::BTreeSet;

use polychron_tests::System;
use shared::execution::Status;
use testkit::{eventually, execute};

use crate::LEASE;
use crate::account::is_accounted_for;

#[tokio::test]
async fn ten_thousand_jobs_are_due_after_a_days_outage() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    execute(
        &tenant.url,
        "INSERT INTO polychron_job (name, job_type, schedule, next_run_at, schedule_since)
         SELECT 'hourly-' || n, 'noop', '{\"every\": \"1h\"}', date_trunc('hour', now()) - interval '1 day', now() - interval '2 days'
         FROM generate_series(1, 10000) n",
    )
    .await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE, ("POLYCHRON_PREFETCH", "50")]));
    let rows = eventually("ten thousand have run", || async {
        let rows = tenant.executions().await;
        let over = rows.iter().filter(|row| row.status == Status::Success).count() >= 10_000;
        over.then_some(rows)
    })
    .await;
    let jobs: BTreeSet<_> = rows.iter().map(|row| row.job_id).collect();
    assert_eq!(jobs.len(), 10_000);
    for row in rows.iter().filter(|row| row.status == Status::Success) {
        assert!(row.stands_for >= 24, "one run stands for the day: {row:#?}");
    }
    is_accounted_for(&system).await;
}

#[tokio::test]
async fn hostile_rows_affect_only_their_own_job() {
    let system = System::new(2).await;
    execute(
        &system.tenants[0].url,
        r#"INSERT INTO polychron_job (name, job_type, schedule) VALUES
           ('bad cron', 'noop', '{"cron": "0 25 * * *"}'),
           ('never', 'noop', '{"cron": "0 0 30 2 *"}'),
           ('no form', 'noop', '{}'),
           ('deep', 'noop', '{"every": {"a": {"b": {"c": [[[[[]]]]]}}}}'),
           ('year 9999', 'noop', '{"at": "9999-12-31T23:59:59Z"}'),
           (E'control \x1b[31m', 'noop', '{"at": "2026-01-01T00:00:00Z"}'),
           ('handler''; DROP TABLE polychron_job; --', 'noop', '{"at": "2026-01-01T00:00:00Z"}'),
           ('elsewhere', 'noop', '{"at": "2026-01-01T00:00:00Z"}')"#,
    )
    .await;
    execute(
        &system.tenants[0].url,
        "UPDATE polychron_job SET queue = 'nobody' WHERE name = 'elsewhere'",
    )
    .await;
    let mut good = system.record_job("job-good", 0.0);
    good.max_attempts = 1;
    for tenant in &system.tenants {
        tenant.store.insert_job(&good).await.unwrap();
    }
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    eventually("the good ones have run", || async {
        let mut successes = 0;
        for tenant in &system.tenants {
            let rows = tenant.executions().await;
            successes += rows.iter().filter(|row| row.status == Status::Success).count();
        }
        (successes == 4).then_some(())
    })
    .await;
    let jobs = system.tenants[0].store.list_jobs("", 99).await.unwrap();
    let quarantined: BTreeSet<&str> = jobs
        .iter()
        .filter(|job| job.quarantined_reason.is_some())
        .map(|job| job.name.as_str())
        .collect();
    assert_eq!(quarantined, BTreeSet::from(["bad cron", "never", "no form", "deep", "year 9999"]));
    is_accounted_for(&system).await;
}
