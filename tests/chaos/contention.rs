//! The tenant's own application works on the same rows.

use std::time::Duration;

use polychron_tests::{System, TestTenant};
use shared::clock::Clock;
use shared::random::Random;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::postgres_server;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

const JOBS: usize = 400;

/// Locks rows in random order, as people's scripts do, until told to stop.
async fn disturb(tenant_url: String, seed: u64, stop: CancellationToken) {
    let random = Random::seeded(seed);
    let any = || 1 + (random.unit() * JOBS as f64) as usize;
    let mut session = PgConnection::connect(&tenant_url).await.unwrap();
    while !stop.is_cancelled() {
        let statements = format!(
            "BEGIN;
             UPDATE polychron_job SET payload = payload WHERE id = {};
             SELECT 1 FROM polychron_job_execution WHERE job_id = {} FOR UPDATE;
             SELECT pg_sleep(0.02);
             SELECT 1 FROM polychron_job_execution WHERE job_id IN ({}, {}, {}) ORDER BY id DESC FOR UPDATE;
             UPDATE polychron_job SET payload = payload WHERE id = {};
             COMMIT",
            any(),
            any(),
            any(),
            any(),
            any(),
            any()
        );
        // Some of these transactions are the deadlocks' victims.
        if session.execute(AssertSqlSafe(statements)).await.is_err() {
            let _ = session.execute("ROLLBACK").await;
        }
    }
}

async fn deadlocks(tenant: &TestTenant) -> i64 {
    let name = tenant.url.expose().rsplit_once('/').unwrap().1.to_owned();
    let mut session = PgConnection::connect(postgres_server().expose()).await.unwrap();
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = $1";
    sqlx::query_scalar(count).bind(name).fetch_one(&mut session).await.unwrap()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how much it was disturbed is worth seeing")]
async fn transactions_of_others_lock_rows_in_other_orders() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    add_jobs(&system, JOBS, 0.0).await;
    let disturbed = CancellationToken::new();
    let mut others = JoinSet::new();
    for seed in 0..8 {
        others.spawn(disturb(tenant.url.expose().to_owned(), seed, disturbed.clone()));
    }
    let _running = (
        system.producer(&[]),
        system.producer(&[]),
        system.consumer(&[LEASE]),
        system.consumer(&[LEASE]),
    );
    Clock::System.sleep(Duration::from_secs(15)).await;
    disturbed.cancel();
    while others.join_next().await.is_some() {}
    all_succeed(&system, JOBS).await;
    println!("deadlocks that PostgreSQL broke: {}", deadlocks(tenant).await);
}
