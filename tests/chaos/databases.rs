//! Tenants' databases and the control database break.

use std::time::Duration;

use chrono::TimeDelta;
use polychron_tests::{Path, Proxy, System, TestTenant, address_in};
use serde_json::json;
use shared::clock::Clock;
use shared::execution::Status;
use shared::store::{NewJob, TenantEdit};
use shared::tenant::TenantStatus;
use testkit::{eventually, execute};

use crate::LEASE;
use crate::account::{add_jobs, all_succeed, is_accounted_for};

const JOBS: usize = 40;

#[tokio::test]
async fn sessions_are_terminated_repeatedly() {
    let system = System::new(2).await;
    add_jobs(&system, JOBS, 0.05).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]), system.consumer(&[LEASE]));
    for _ in 0..20 {
        execute(
            &system.tenants[0].url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'polychron'",
        )
        .await;
        Clock::System.sleep(Duration::from_millis(100)).await;
    }
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn tables_are_locked_for_a_while() {
    let system = System::new(2).await;
    add_jobs(&system, JOBS, 0.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    execute(
        &system.tenants[0].url,
        "BEGIN; LOCK TABLE polychron_job_execution IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(8); COMMIT",
    )
    .await;
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn statements_time_out_and_connections_are_few() {
    let system = System::new(2).await;
    execute(
        &system.tenants[0].url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 1', current_database()); END $$",
    )
    .await;
    add_jobs(&system, JOBS, 0.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn database_is_read_only_for_a_while() {
    let system = System::new(2).await;
    let read_only = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$";
    execute(&system.tenants[0].url, read_only).await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    execute(
        &system.tenants[0].url,
        "SET TRANSACTION READ WRITE; INSERT INTO polychron_job (name, job_type, schedule) VALUES ('job', 'noop', '{\"at\": \"2026-01-01T00:00:00Z\"}')",
    )
    .await;
    producer.logged("the tenant's database cannot be used").await;
    let writable = "SET TRANSACTION READ WRITE; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'polychron'";
    execute(&system.tenants[0].url, writable).await;
    eventually("the job has run", || async {
        let rows = system.tenants[0].try_executions().await?;
        rows.iter().any(|row| row.status == Status::Success).then_some(())
    })
    .await;
    is_accounted_for(&system).await;
}

/// The lateness of a healthy tenant's jobs, one each second, at the 99th percentile of those that
/// were due since `since`.
async fn p99_lateness(tenant: &TestTenant, since: shared::clock::Time, count: usize) -> TimeDelta {
    let mut late: Vec<TimeDelta> =
        eventually(&format!("{count} runs of {}", tenant.slug), || async {
            let rows = tenant.executions().await;
            let late: Vec<TimeDelta> = rows
                .iter()
                .filter(|row| row.scheduled_for > since && row.attempt == 1)
                .filter_map(|row| Some(row.started_at? - row.scheduled_for))
                .collect();
            (late.len() >= count).then_some(late)
        })
        .await;
    late.sort();
    late[(late.len() - 1) * 99 / 100]
}

/// One tenant is unreachable, one answers after five seconds, and one fails every statement. The others
/// must not notice.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are worth seeing")]
async fn failing_tenants_do_not_make_the_others_late() {
    let system = System::new(6).await;
    let [dark, slow, failing, healthy @ ..] = &system.tenants[..] else { unreachable!() };
    let (to_dark, to_slow) = (system.proxy_tenant(dark).await, system.proxy_tenant(slow).await);
    for tenant in &system.tenants {
        for n in 0..4 {
            let job = NewJob::new(&format!("every-second-{n}"), "noop", json!({"every": "1s"}));
            tenant.store.insert_job(&job).await.unwrap();
        }
    }
    let _running = (system.producer(&[]), system.consumer(&[LEASE]), system.consumer(&[LEASE]));
    let start = Clock::System.wall_time() + TimeDelta::seconds(3);
    let mut before = TimeDelta::zero();
    for tenant in healthy {
        before = before.max(p99_lateness(tenant, start, 60).await);
    }
    to_dark.blackhole();
    let delay = Path::Delay(Duration::from_millis(2500));
    to_slow.set(delay, delay);
    execute(&failing.url, "ALTER TABLE polychron_job_execution RENAME TO job_execution_gone").await;
    let since = Clock::System.wall_time();
    let mut during = TimeDelta::zero();
    for tenant in healthy {
        during = during.max(p99_lateness(tenant, since, 120).await);
    }
    println!(
        "p99 lateness of the healthy: {} ms before, {} ms beside the ailing",
        before.num_milliseconds(),
        during.num_milliseconds()
    );
    let allowed = (before * 2).max(before + TimeDelta::milliseconds(250));
    assert!(during <= allowed, "{during} is more than {allowed}");
    execute(&failing.url, "ALTER TABLE job_execution_gone RENAME TO polychron_job_execution").await;
    to_dark.heal();
    to_slow.heal();
    for tenant in [dark, slow, failing] {
        let healed = Clock::System.wall_time();
        p99_lateness(tenant, healed, 4).await;
    }
    is_accounted_for(&system).await;
}

#[tokio::test]
async fn control_database_is_unavailable() {
    let system = System::new(2).await;
    let proxy = Proxy::start(address_in(system.control_url())).await;
    let url = proxy.url(system.control_url());
    let control = ("DATABASE_URL", url.as_str());
    let (producer, consumer) = (system.producer(&[control]), system.consumer(&[LEASE, control]));
    producer.logged("dispatching jobs").await;
    consumer.logged("connected to the broker for receiving").await;
    proxy.refuse();
    add_jobs(&system, JOBS, 0.0).await;
    all_succeed(&system, JOBS).await;
    producer.logged("the tenants known last stay in force").await;
    proxy.heal();
    producer.logged("the control database answers again").await;
}

#[tokio::test]
async fn tenant_is_suspended_resumed_removed_and_added_again() {
    let system = System::new(2).await;
    let [tenant, _other] = &system.tenants[..] else { unreachable!() };
    let listed = system.control.find_tenant(&tenant.slug).await.unwrap().unwrap();
    let set = async |status| {
        let edit = TenantEdit { status: Some(status), ..TenantEdit::default() };
        let now = system.control.now().await.unwrap();
        assert!(system.control.edit_tenant(listed.id, &edit, now).await.unwrap().is_applied());
    };
    set(TenantStatus::Suspended).await;
    add_jobs(&system, JOBS, 0.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    eventually("the other tenant's jobs have run", || async {
        (system.tenants[1].executions().await.len() == JOBS).then_some(())
    })
    .await;
    assert!(tenant.executions().await.is_empty());
    set(TenantStatus::Active).await;
    eventually("some have run", || async { (tenant.executions().await.len() > 1).then_some(()) })
        .await;
    assert!(system.control.delete_tenant(listed.id).await.unwrap().is_applied());
    system.control.insert_tenant(&listed).await.unwrap();
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn one_tenants_schema_is_missing() {
    let system = System::new(2).await;
    add_jobs(&system, 3, 0.0).await;
    execute(&system.tenants[0].url, "ALTER TABLE polychron_tenant_migration RENAME TO gone").await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("run `polychron migrate`").await;
    eventually("the other tenant's jobs have run", || async {
        let rows = system.tenants[1].executions().await;
        (rows.len() == 3 && rows.iter().all(|row| row.status == Status::Success)).then_some(())
    })
    .await;
    execute(&system.tenants[0].url, "ALTER TABLE gone RENAME TO polychron_tenant_migration").await;
    all_succeed(&system, 3).await;
}
