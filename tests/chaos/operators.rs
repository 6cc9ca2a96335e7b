//! Operators' actions while something goes wrong.

use std::sync::Arc;

use polychron_tests::{System, TestTenant};
use shared::clock::Clock;
use shared::execution::Status;
use shared::store::{Connections, Store};
use testkit::{eventually, execute, postgres_database, postgres_server};

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

const JOBS: usize = 40;

async fn all_have_run(tenant: &TestTenant) {
    eventually(&format!("the jobs of {} have run", tenant.slug), || async {
        let rows = tenant.executions().await;
        let successes = rows.iter().filter(|row| row.status == Status::Success).count();
        (successes == JOBS).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tenants_password_is_changed_in_flight() {
    let system = System::new(2).await;
    let tenant = &system.tenants[0];
    let role = tenant.url.expose().rsplit_once('/').unwrap().1.to_owned() + "_role";
    let known_by = |password: &str| {
        tenant.url.expose().replacen("postgres:postgres@", &format!("{role}:{password}@"), 1)
    };
    let make = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'one'");
    execute(&postgres_server(), &make).await;
    system.move_tenant(tenant, &known_by("one")).await;
    add_jobs(&system, JOBS, 0.3).await;
    let (producer, consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    eventually("some have run", || async { (tenant.executions().await.len() > 5).then_some(()) })
        .await;
    execute(&postgres_server(), &format!("ALTER ROLE {role} PASSWORD 'two'")).await;
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    execute(&postgres_server(), &end).await;
    consumer.logged("password authentication failed").await;
    producer.logged("password authentication failed").await;
    all_have_run(&system.tenants[1]).await;
    system.move_tenant(tenant, &known_by("two")).await;
    all_succeed(&system, JOBS).await;
    for log in [producer.log(), consumer.log()] {
        assert!(!log.contains(":one@") && !log.contains(":two@"), "a password in a log");
    }
}

#[tokio::test]
async fn a_migration_fails_at_one_tenant() {
    let mut system = System::new(3).await;
    // Its database is new and contains another application's table with a name of ours.
    let url = postgres_database().await;
    execute(
        &url,
        "CREATE TABLE polychron_job (title text); INSERT INTO polychron_job VALUES ('clerk')",
    )
    .await;
    system.move_tenant(&system.tenants[0], url.expose()).await;
    let id = system.control.find_tenant("t0").await.unwrap().unwrap().id;
    let connections = Connections::new(Clock::System, 4);
    let store = Arc::new(Store::new(id, &url, &connections).unwrap());

    let mut migration = system.program("polychron", &["migrate"], &[]);
    assert_eq!(migration.ended().await.code(), Some(4), "some tenants failed");
    migration.logged("relation \"polychron_job\" already exists").await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    for tenant in &system.tenants[1..] {
        for n in 0..JOBS {
            let job = system.record_job(&format!("job-{n}"), 0.0);
            tenant.store.insert_job(&job).await.unwrap();
        }
    }
    for tenant in &system.tenants[1..] {
        all_have_run(tenant).await;
    }
    producer.logged("run `polychron migrate`").await;

    execute(&url, "ALTER TABLE polychron_job RENAME TO position").await;
    let mut migration = system.program("polychron", &["migrate"], &[]);
    assert_eq!(migration.ended().await.code(), Some(4), "it is nobody's database yet");
    assert!(store.set_owner().await.unwrap().is_applied());
    let mut migration = system.program("polychron", &["migrate"], &[]);
    assert_eq!(migration.ended().await.code(), Some(0));
    for n in 0..JOBS {
        store.insert_job(&system.record_job(&format!("job-{n}"), 0.0)).await.unwrap();
    }
    system.tenants[0] = TestTenant { slug: "t0".to_owned(), url, store };
    all_succeed(&system, JOBS).await;
}
