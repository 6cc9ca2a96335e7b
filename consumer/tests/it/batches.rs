//! How many statements it takes to claim executions and to write their results.

use std::sync::Arc;

use chrono::TimeDelta;
use polychron_consumer::{Consumer, Context, HandlerError, Registry};
use serde_json::{Value, json};
use shared::clock::{Clock, Time};
use shared::config::{Config, Sources};
use shared::database_url::DatabaseUrl;
use shared::id::{ExecutionId, TenantId};
use shared::message::{Label, Message, Outgoing};
use shared::queue::{BrokerState, Confirm, MemoryBroker, Queue};
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, NewJob, Schema, Store, migrate};
use shared::telemetry::Telemetry;
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::Tenants;
use sqlx::{Connection, SqliteConnection};
use testkit::{Folder, eventually, execute, virtual_host};

const DELIVERIES: i64 = 40;

/// The statements that it took.
#[derive(Debug, PartialEq)]
struct Statements {
    claims: i64,
    results: i64,
}

async fn noop(_: Value, _: Context) -> Result<(), HandlerError> {
    Ok(())
}

/// Has a consumer execute [`DELIVERIES`] executions of one tenant, all of them in the queue when it
/// starts.
async fn execute_all(queue: Queue) -> Statements {
    let (folder, random, clock) = (Folder::new(), Random::system(), Clock::System);
    let connections = Connections::new(clock.clone(), 4);
    let control_url = folder.sqlite_database("control.db");
    let database_url = folder.sqlite_database("tenant.db");
    migrate(&control_url, Schema::Control).await.unwrap();
    migrate(&database_url, Schema::Tenant).await.unwrap();
    let now = clock.wall_time();
    let tenant = TenantId::new(now, &random);
    let outgoing = dispatched(&database_url, tenant, &connections, &random).await;
    let control = Control::new(&control_url, &connections).unwrap();
    let row = Tenant {
        id: tenant,
        name: "acme".to_owned(),
        slug: "acme".to_owned(),
        status: TenantStatus::Active,
        database_url: database_url.clone(),
        max_running: None,
        schema: None,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&row).await.unwrap();
    let (publisher, driver) = queue.publisher("test", &["default".to_owned()]);
    let driver = tokio::spawn(driver);
    eventually("the broker takes messages", || async {
        (*publisher.state().borrow() == BrokerState::Open).then_some(())
    })
    .await;
    let confirms = publisher.publish(outgoing).await;
    assert!(confirms.iter().all(|confirm| *confirm == Confirm::Confirmed), "{confirms:?}");

    let mut registry = Registry::default();
    registry.insert("noop", noop);
    let slots = ("POLYCHRON_PREFETCH".to_owned(), DELIVERIES.to_string());
    let sources = Sources { environment: [slots].into(), ..Sources::default() };
    let config = Config::read(&sources, &[]).unwrap();
    let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
    let telemetry = Telemetry::new(clock);
    let consumer = Consumer { tenants, queue, registry, config, random, telemetry };
    let shutdown = Shutdown::default();
    let running = tokio::spawn(consumer.run(shutdown.clone()));
    eventually("every execution has succeeded", || async {
        let succeeded = "SELECT count(*) FROM polychron_job_execution WHERE status = 'success'";
        (number(&database_url, succeeded).await == DELIVERIES).then_some(())
    })
    .await;
    shutdown.drain.cancel();
    running.await.unwrap().unwrap();
    driver.abort();
    // Every row of one statement has the same time.
    let distinct = |column| format!("SELECT count(DISTINCT {column}) FROM polychron_job_execution");
    Statements {
        claims: number(&database_url, &distinct("started_at")).await,
        results: number(&database_url, &distinct("finished_at")).await,
    }
}

/// Dispatched executions in the tenant's database, and their messages.
async fn dispatched(
    url: &DatabaseUrl,
    tenant: TenantId,
    connections: &Connections,
    random: &Random,
) -> Vec<Outgoing> {
    let store = Store::new(tenant, url, connections).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    store.insert_job(&NewJob::new("job", "noop", json!({"every": "1h"}))).await.unwrap();
    let first = store.now().await.unwrap();
    let mut outgoing = Vec::new();
    for n in 0..DELIVERIES {
        let at = first + TimeDelta::seconds(n);
        let execution = ExecutionId::new(at.time(), random);
        assert!(store.run_job("job", execution, None, at).await.unwrap().is_applied());
        let message = Message { tenant, execution };
        outgoing.push(Outgoing { message, queue: "default".to_owned(), label: label(at.time()) });
    }
    execute(url, "UPDATE polychron_job_execution SET status = 'dispatched'").await;
    outgoing
}

fn label(scheduled_for: Time) -> Label {
    let (tenant, job, job_type) = ("acme".to_owned(), "job".to_owned(), "noop".to_owned());
    Label { tenant, job, job_type, attempt: 1, scheduled_for }
}

async fn number(url: &DatabaseUrl, query: &str) -> i64 {
    let mut connection = SqliteConnection::connect(url.expose()).await.unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn deliveries_that_are_received_together_are_claimed_by_one_statement() {
    let statements = execute_all(Queue::Memory(MemoryBroker::new())).await;
    assert_eq!(statements.claims, 1, "{statements:?}");
}

#[tokio::test]
async fn deliveries_from_a_broker_are_claimed_in_batches() {
    let url = virtual_host().await.parse().unwrap();
    let statements = execute_all(Queue::Rabbit(url)).await;
    assert!(statements.claims <= DELIVERIES / 8, "{statements:?}");
}
