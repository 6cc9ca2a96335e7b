//! A steady load for a long time, to see whether anything grows that should not: the resident memory of
//! each process, the tables, the index of open rows, and the bytes per execution.
//!
//! Ten jobs a second for each of twenty tenants, and a sample every half minute. The slope over the last
//! two thirds counts, when everything has been used once.

use std::time::Duration;

use anyhow::ensure;
use polychron_bench::{
    Servers, Sheet, Usage, drop_database, drop_virtual_host, require_fsync, slope,
};
use serde_json::json;
use shared::clock::Clock;
use sqlx::{Connection as _, PgConnection};
use testkit::execute;
use tests::{Process, System};

use crate::Options;

const TENANTS: usize = 20;
/// The load of all tenants together.
const RATE: f64 = 200.0;
const CONSUMERS: usize = 2;
const PREFETCH: &str = "50";
const SAMPLE_EVERY: Duration = Duration::from_secs(30);
/// The growth over the last two thirds, as a fraction, below which a series counts as flat.
const GROWTH_MAX: f64 = 0.03;

/// A series of samples: hours and value.
struct Watched {
    kind: &'static str,
    name: String,
    samples: Vec<(f64, f64)>,
}

/// Measures once.
///
/// # Errors
/// If the servers are missing or misconfigured, or the jobs pile up.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    Servers::find()?;
    require_fsync().await?;
    let settings = json!({"minutes": options.minutes, "tenants": TENANTS, "jobs/s": RATE});
    let system = System::new(TENANTS).await;
    let processes = start(&system).await;
    for tenant in &system.tenants {
        execute(&tenant.url, include_str!("../../../sql/insert_steady_jobs.sql")).await;
    }
    let clock = Clock::System;
    let (began, mut watched) = (clock.boot_time(), Vec::new());
    for n in 1..=options.minutes * 60 / SAMPLE_EVERY.as_secs() as u32 {
        clock.sleep(began + SAMPLE_EVERY * n - clock.boot_time()).await;
        let hours = (clock.boot_time() - began).as_secs_f64() / 3600.0;
        for (name, process) in &processes {
            let rss = Usage::of_tree(process.pid()).rss as f64 / 1e6;
            enter(&mut watched, "RSS MB", name, hours, rss);
        }
        let tables = Tables::read(&system).await?;
        let rate = tables.recent as f64 / SAMPLE_EVERY.as_secs_f64();
        eprintln!("{:.1} min: {rate:.0} jobs/s", hours * 60.0);
        ensure!(
            n == 1 || rate > RATE / 2.0,
            "only {rate:.0} of {RATE} jobs a second are worked off"
        );
        enter(&mut watched, "jobs/s", "all", hours, rate);
        enter(&mut watched, "MB", "job tables", hours, tables.jobs as f64 / 1e6);
        enter(&mut watched, "MB", "open indexes", hours, tables.open as f64 / 1e6);
        let each = tables.executions as f64 / tables.rows as f64;
        enter(&mut watched, "bytes", "an execution", hours, each);
    }
    drop(processes);
    clear(&system).await?;
    Ok(sheet(settings, &watched))
}

/// The processes by name: consumers, and a producer.
async fn start(system: &System) -> Vec<(String, Process)> {
    let mut processes = Vec::new();
    for n in 1..=CONSUMERS {
        let consumer = system.consumer(&[("POLYCHRON_PREFETCH", PREFETCH)]);
        consumer.logged("connected to the broker for receiving").await;
        processes.push((format!("consumer {n}"), consumer));
    }
    let producer = system.producer(&[]);
    producer.logged("connected to the broker for publishing").await;
    processes.push(("producer".to_owned(), producer));
    processes
}

fn enter(watched: &mut Vec<Watched>, kind: &'static str, name: &str, hours: f64, value: f64) {
    match watched.iter_mut().find(|it| it.kind == kind && it.name == name) {
        Some(it) => it.samples.push((hours, value)),
        None => {
            watched.push(Watched { kind, name: name.to_owned(), samples: vec![(hours, value)] });
        }
    }
}

/// The sizes of all tenants' tables together.
#[derive(Default)]
struct Tables {
    jobs: i64,
    open: i64,
    executions: i64,
    rows: i64,
    recent: i64,
}

impl Tables {
    async fn read(system: &System) -> anyhow::Result<Tables> {
        let mut all = Tables::default();
        for tenant in &system.tenants {
            let mut connection = PgConnection::connect(tenant.url.expose()).await?;
            let query = sqlx::query_as(include_str!("../../../sql/table_sizes.sql"));
            let (jobs, open, executions, rows, recent): (i64, i64, i64, i64, i64) =
                query.fetch_one(&mut connection).await?;
            all.jobs += jobs;
            all.open += open;
            all.executions += executions;
            all.rows += rows;
            all.recent += recent;
        }
        Ok(all)
    }
}

async fn clear(system: &System) -> anyhow::Result<()> {
    drop_virtual_host(&system.amqp_url).await;
    for tenant in &system.tenants {
        drop_database(tenant.url.expose()).await?;
    }
    drop_database(system.control_url()).await
}

/// The samples, and a note of what grew.
fn sheet(settings: serde_json::Value, watched: &[Watched]) -> Sheet {
    let mut sheet = Sheet::new("soak", &[], settings);
    for it in watched {
        for (_, value) in &it.samples {
            sheet.add(it.kind, &it.name, vec![("value", *value)]);
        }
        let last = &it.samples[it.samples.len() / 3..];
        let (Some(first), Some(end)) = (last.first(), last.last()) else { continue };
        let grown = slope(last) * (end.0 - first.0);
        let flat = if grown < GROWTH_MAX * end.1 { "flat" } else { "grows" };
        sheet.note(format!(
            "{} {}: {:+.2} an hour over the last {:.0} minutes, {flat}",
            it.name,
            it.kind,
            slope(last),
            (end.0 - first.0) * 60.0
        ));
    }
    sheet
}
