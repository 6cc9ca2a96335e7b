//! Whether a tenant with very many due jobs delays another tenant, and whether a tenant's limit holds
//! when several producers dispatch for it.
//!
//! *neighbour*: one tenant has a hundred thousand due jobs. While they run, single jobs of another
//! tenant become due, and their lateness is measured.
//! *limit*: a tenant with `max_running` has some hundred short jobs due at once. The highest number that
//! ran at one moment is counted from the rows.

use std::time::Duration;

use anyhow::ensure;
use polychron_bench::{Sample, Servers, Sheet, drop_database, drop_virtual_host, require_fsync};
use serde_json::json;
use shared::clock::Clock;
use shared::store::TenantEdit;
use sqlx::{Connection as _, PgConnection};
use testkit::eventually_within;
use tests::{Process, System};

use crate::Options;
use crate::pipeline::wake;

/// How many jobs the busy tenant has.
const BACKLOG: i64 = 100_000;
/// How many jobs of the other tenant are measured in a round, and how far apart they are due.
const PROBES: usize = 10;
const APART: Duration = Duration::from_millis(700);
/// How long before its due time a probe is inserted: long enough to be armed by then.
const LEAD: f64 = 0.5;
/// The limit, and how many jobs it applies to.
const MAX_RUNNING: i32 = 7;
const LIMITED: i64 = 300;
const NOOP: (&str, &str) = ("noop", "{}");
const SLEEP: (&str, &str) = ("sleep", r#"{"seconds": 0.05}"#);
const PRODUCERS: usize = 3;
const CONSUMERS: usize = 2;
const PREFETCH: &str = "50";
/// How often a run's progress is read.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long one wait may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, a job got lost, or the backlog was gone before
/// the last probe started.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    Servers::find()?;
    require_fsync().await?;
    let settings =
        json!({"rounds": options.rounds, "backlog": BACKLOG, "max_running": MAX_RUNNING});
    let mut sheet = Sheet::new("fairness", &[], settings);
    for round in 0..options.rounds {
        for group in ["neighbour", "limit"].into_iter().filter(|group| options.includes(group)) {
            let system = System::new(2).await;
            let sample = match group {
                "neighbour" => neighbour(&system).await?,
                _ => limit(&system).await?,
            };
            eprintln!("round {round}: {group}: {sample:.3?}");
            for (name, value) in sample {
                sheet.add(group, name, vec![("value", value)]);
            }
            drop_virtual_host(&system.amqp_url).await;
            for url in system.tenants.iter().map(|tenant| tenant.url.expose()) {
                drop_database(url).await?;
            }
            drop_database(system.control_url()).await?;
        }
    }
    Ok(sheet)
}

/// The lateness of the other tenant's jobs.
async fn neighbour(system: &System) -> anyhow::Result<Sample> {
    let [busy, other] =
        [connect(system, 0).await?, connect(system, 1).await?].map(tokio::sync::Mutex::new);
    insert(&mut *busy.lock().await, "backlog", NOOP, BACKLOG, 0.0).await?;
    let _processes = start(system, 1).await;
    eventually_within(LIMIT, "the backlog is being worked off", || async {
        Clock::System.sleep(ASK_EVERY).await;
        (succeeded(&mut *busy.lock().await).await.ok()? > 0).then_some(())
    })
    .await;
    let tenants = system.control.list_tenants().await?;
    let other_id =
        tenants.iter().find(|tenant| tenant.slug == "t1").map(|tenant| tenant.id.to_string());
    let began = succeeded(&mut *busy.lock().await).await?;
    let clock = Clock::System;
    let from = clock.boot_time();
    for n in 0..PROBES {
        insert(&mut *other.lock().await, &format!("probe {n}"), NOOP, 1, LEAD).await?;
        wake(&system.amqp_url, other_id.as_deref().unwrap_or_default()).await;
        clock.sleep(APART).await;
    }
    eventually_within(LIMIT, "every probe has succeeded", || async {
        clock.sleep(ASK_EVERY).await;
        (succeeded(&mut *other.lock().await).await.ok()? == PROBES as i64).then_some(())
    })
    .await;
    let meanwhile = succeeded(&mut *busy.lock().await).await?;
    ensure!(meanwhile < BACKLOG, "the backlog was worked off before the last probe");
    let rate = (meanwhile - began) as f64 / (clock.boot_time() - from).as_secs_f64();
    let lateness = "SELECT extract(epoch FROM started_at - scheduled_for)::float8 FROM polychron_job_execution ORDER BY 1";
    let lateness: Vec<f64> =
        sqlx::query_scalar(lateness).fetch_all(&mut *other.lock().await).await?;
    Ok(vec![
        ("worst lateness s", lateness.iter().copied().fold(0.0, f64::max)),
        ("median lateness s", polychron_bench::median(&lateness)),
        ("backlog's jobs/s", rate),
    ])
}

/// The highest number of a limited tenant's executions at one moment.
async fn limit(system: &System) -> anyhow::Result<Sample> {
    let tenant = system.control.list_tenants().await?.remove(0);
    let edit = TenantEdit { max_running: Some(Some(MAX_RUNNING)), ..TenantEdit::default() };
    let now = system.control.now().await?;
    let edited = system.control.edit_tenant(tenant.id, &edit, now).await?;
    ensure!(edited.is_applied(), "the tenant is not there");
    let n = system.tenants.iter().position(|it| it.slug == tenant.slug).unwrap_or_default();
    let connection = tokio::sync::Mutex::new(connect(system, n).await?);
    let _processes = start(system, PRODUCERS).await;
    insert(&mut *connection.lock().await, "limited", SLEEP, LIMITED, LEAD).await?;
    wake(&system.amqp_url, &tenant.id.to_string()).await;
    let most_open = std::cell::Cell::new(0);
    eventually_within(LIMIT, "every job has succeeded", || async {
        Clock::System.sleep(ASK_EVERY).await;
        let mut connection = connection.lock().await;
        // One statement sees one moment, while the times of several processes are not comparable.
        let open = "SELECT count(*) FROM polychron_job_execution WHERE status IN ('dispatched', 'running')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut *connection).await.ok()?;
        most_open.set(most_open.get().max(open));
        (succeeded(&mut connection).await.ok()? == LIMITED).then_some(())
    })
    .await;
    let query = sqlx::query_scalar(include_str!("../../../sql/most_running.sql"));
    let running: i64 = query.fetch_one(&mut *connection.lock().await).await?;
    let query = sqlx::query_as(include_str!("../../../sql/count_done.sql"));
    let (done, seconds): (i64, f64) = query.fetch_one(&mut *connection.lock().await).await?;
    Ok(vec![
        ("most running, by the rows", running as f64),
        ("most dispatched or running, seen", most_open.get() as f64),
        ("max_running", f64::from(MAX_RUNNING)),
        ("jobs/s", done as f64 / seconds),
    ])
}

/// Starts consumers, then producers.
async fn start(system: &System, producers: usize) -> Vec<Process> {
    let mut processes = Vec::new();
    for _ in 0..CONSUMERS {
        let consumer = system.consumer(&[("POLYCHRON_PREFETCH", PREFETCH)]);
        consumer.logged("connected to the broker for receiving").await;
        processes.push(consumer);
    }
    for _ in 0..producers {
        let producer = system.producer(&[]);
        producer.logged("connected to the broker for publishing").await;
        processes.push(producer);
    }
    processes
}

async fn connect(system: &System, tenant: usize) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect(system.tenants[tenant].url.expose()).await?)
}

/// Inserts jobs of this type and payload that are due after this many seconds.
async fn insert(
    connection: &mut PgConnection,
    name: &str,
    (job_type, payload): (&str, &str),
    count: i64,
    lead: f64,
) -> anyhow::Result<()> {
    sqlx::query(include_str!("../../../sql/insert_spread_jobs.sql"))
        .bind(count)
        .bind(name)
        .bind(job_type)
        .bind(payload)
        .bind(lead)
        .bind(0.0)
        .execute(connection)
        .await?;
    Ok(())
}

async fn succeeded(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let query = sqlx::query_as(include_str!("../../../sql/count_done.sql"));
    let (done, _): (i64, Option<f64>) = query.fetch_one(connection).await?;
    Ok(done)
}
