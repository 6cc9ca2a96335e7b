//! An execution whose row another session has locked does not hold up the others that are claimed or finished
//! with it.

use std::sync::Arc;

use polychron_consumer::{Consumer, Context, HandlerError, Registry};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Sources};
use shared::database_url::DatabaseUrl;
use shared::id::{ExecutionId, TenantId};
use shared::message::{Label, Message, Outgoing};
use shared::queue::{BrokerState, MemoryBroker, Queue};
use shared::random::Random;
use shared::shutdown::Shutdown;
use shared::store::{Connections, Control, NewJob, Schema, Store, migrate};
use shared::telemetry::Telemetry;
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::Tenants;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use testkit::{Folder, eventually, execute, postgres_database};
use tokio::sync::Semaphore;

const EXECUTIONS: i64 = 5;

async fn number(url: &DatabaseUrl, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM polychron_job_execution WHERE {condition}");
    let mut connection = PgConnection::connect(url.expose()).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
}

async fn lock(url: &DatabaseUrl, row: ExecutionId) -> PgConnection {
    let mut session = PgConnection::connect(url.expose()).await.unwrap();
    let sql = format!("BEGIN; SELECT FROM polychron_job_execution WHERE id = '{row}' FOR UPDATE");
    raw_sql(AssertSqlSafe(sql)).execute(&mut session).await.unwrap();
    session
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_locked_row_is_claimed_and_finished_once_it_is_free_and_the_others_at_once() {
    let (folder, random, clock) = (Folder::new(), Random::system(), Clock::System);
    let connections = Connections::new(clock.clone(), 4);
    let (control_url, url) = (folder.sqlite_database("control.db"), postgres_database().await);
    migrate(&control_url, Schema::Control).await.unwrap();
    migrate(&url, Schema::Tenant).await.unwrap();
    let now = clock.wall_time();
    let tenant = TenantId::new(now, &random);
    let control = Control::new(&control_url, &connections).unwrap();
    let (name, slug) = ("acme".to_owned(), "acme".to_owned());
    let row = Tenant {
        id: tenant,
        name,
        slug,
        status: TenantStatus::Active,
        database_url: url.clone(),
        max_running: None,
        schema: None,
        created_at: now,
        updated_at: now,
    };
    control.insert_tenant(&row).await.unwrap();
    let store = Store::new(tenant, &url, &connections).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    store.insert_job(&NewJob::new("job", "waits", json!({"every": "1h"}))).await.unwrap();
    let mut outgoing = Vec::new();
    for _ in 0..EXECUTIONS {
        let at = store.now().await.unwrap();
        let execution = ExecutionId::new(at.time(), &random);
        assert!(store.run_job("job", execution, None, at).await.unwrap().is_applied());
        let (tenant_slug, job, job_type) =
            ("acme".to_owned(), "job".to_owned(), "waits".to_owned());
        let label =
            Label { tenant: tenant_slug, job, job_type, attempt: 1, scheduled_for: at.time() };
        let message = Message { tenant, execution };
        outgoing.push(Outgoing { message, queue: "default".to_owned(), label });
    }
    execute(&url, "UPDATE polychron_job_execution SET status = 'dispatched'").await;
    let rows: Vec<ExecutionId> = outgoing.iter().map(|one| one.message.execution).collect();

    let queue = Queue::Memory(MemoryBroker::new());
    let (publisher, driver) = queue.publisher("test", &["default".to_owned()]);
    let driver = tokio::spawn(driver);
    eventually("the broker takes messages", || async {
        (*publisher.state().borrow() == BrokerState::Open).then_some(())
    })
    .await;
    publisher.publish(outgoing).await;

    let unclaimable = lock(&url, rows[1]).await;
    let gate = Arc::new(Semaphore::new(0));
    let (mut registry, handlers_gate) = (Registry::default(), gate.clone());
    registry.insert("waits", move |_: Value, _: Context| {
        let gate = handlers_gate.clone();
        async move { gate.acquire().await.map(drop).map_err(|_| HandlerError::new("closed")) }
    });
    let config = Config::read(&Sources::default(), &[]).unwrap();
    let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
    let consumer =
        Consumer { tenants, queue, registry, config, random, telemetry: Telemetry::new(clock) };
    let shutdown = Shutdown::default();
    let running = tokio::spawn(consumer.run(shutdown.clone()));
    let becomes = async |what: &str, condition: &str, expected: i64| {
        eventually(what, || async { (number(&url, condition).await == expected).then_some(()) })
            .await;
    };
    becomes("the others run", "status = 'running'", EXECUTIONS - 1).await;
    drop(unclaimable);
    becomes("all run", "status = 'running'", EXECUTIONS).await;

    let unfinishable = lock(&url, rows[3]).await;
    gate.add_permits(EXECUTIONS as usize);
    becomes("the others are over", "status = 'success'", EXECUTIONS - 1).await;
    drop(unfinishable);
    becomes("all are over", "status = 'success'", EXECUTIONS).await;
    shutdown.drain.cancel();
    running.await.unwrap().unwrap();
    driver.abort();
}
