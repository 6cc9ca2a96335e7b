//! A hundred thousand one-off jobs of a thousand tenants, all due within one second: how long until
//! every result is recorded, how late the last one starts, and how much memory that takes.
//!
//! Once with a database per tenant on one PostgreSQL server, once with SQLite files.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use chrono::TimeDelta;
use polychron_bench::{
    Sample, Servers, Sheet, Usage, drop_database, drop_virtual_host, require_fsync,
};
use serde_json::json;
use shared::clock::{Clock, Time, delta};
use shared::database_url::DatabaseUrl;
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};
use testkit::execute;
use tests::{Process, System, free_address, get};

use crate::Options;
use crate::tenants::{Kind, make_tenants};

const TENANTS: usize = 1_000;
const JOBS_EACH: u32 = 100;
const CONSUMERS: usize = 2;
const PREFETCH: &str = "50";
/// How long after the first insert the jobs are due. By then all are inserted, and the producer has
/// polled every tenant.
const LEAD: Duration = Duration::from_secs(120);
/// How much of that time must be left when the producer is ready.
const SPARE: TimeDelta = TimeDelta::seconds(5);
/// How often a run's progress is read.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(900);

/// The processes with the addresses of their metrics; the producer is the first.
struct Processes(Vec<(Process, SocketAddr)>);

/// Measures each kind once, whatever the number of rounds.
///
/// # Errors
/// If the servers are missing or misconfigured, or a job was lost.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let settings = json!({"tenants": TENANTS, "jobs each": JOBS_EACH, "consumers": CONSUMERS});
    let mut sheet = Sheet::new("burst", &[], settings);
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let group = format!("{TENANTS} {}", format!("{kind:?}").to_lowercase());
        if !options.includes(&group) {
            continue;
        }
        let system = System::new(0).await;
        let urls = make_tenants(kind, TENANTS, &system).await?;
        sheet.add(&group, "2 x 50", burst(&servers, &system, &urls).await?);
        if kind == Kind::Postgres {
            for url in urls {
                drop_database(url.expose()).await?;
            }
        }
        drop_database(system.control_url()).await?;
        drop_virtual_host(&system.amqp_url).await;
    }
    Ok(sheet)
}

#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
async fn burst(servers: &Servers, system: &System, urls: &[DatabaseUrl]) -> anyhow::Result<Sample> {
    let clock = Clock::System;
    let due = clock.wall_time() + delta(LEAD);
    let insert = insert(due);
    for url in urls {
        execute(url, &insert).await;
    }
    eprintln!("{} tenants are filled", urls.len());
    let processes = Processes::start(system).await;
    processes.until_watched(urls.len()).await?;
    let left = due - clock.wall_time();
    ensure!(
        left > SPARE,
        "the machine is too slow: inserts and first polls took until {left} before the jobs are due"
    );

    eprintln!("every tenant is watched, {} s before the jobs are due", left.num_seconds());
    let all = f64::from(JOBS_EACH) * urls.len() as f64;
    let usage = || [servers.postgres(), servers.rabbitmq(), processes.usage()];
    let polls_before = figure(processes.0[0].1, "polychron_polls_total").await;
    let (before, began) = (usage(), clock.boot_time());
    let mut most = [0_u64; 2];
    while processes.finished().await < all {
        ensure!(clock.boot_time() - began < LEAD + LIMIT, "not all jobs have ended");
        clock.sleep(ASK_EVERY).await;
        let now = processes.memory();
        most = [most[0].max(now[0]), most[1].max(now[1])];
    }
    let after = usage();
    let polls = figure(processes.0[0].1, "polychron_polls_total").await - polls_before;
    drop(processes);
    let (mut ended, mut lateness, mut succeeded) = (0.0_f64, 0.0_f64, 0);
    for url in urls {
        let rows = Rows::read(url).await?;
        succeeded += rows.succeeded;
        lateness = lateness.max(seconds(rows.latest_start));
        ended = ended.max(seconds(rows.last_end - due));
    }
    ensure!(succeeded as f64 == all, "{succeeded} of {all} jobs have succeeded");
    let used = |n: usize| (after[n] - before[n]).cpu.as_secs_f64() * 1e6 / all;
    Ok(vec![
        ("s until all are recorded", ended),
        ("jobs/s", all / ended),
        ("worst lateness s", lateness),
        ("polls/tenant", polls / urls.len() as f64),
        ("producer RSS MB", most[0] as f64 / 1e6),
        ("consumer RSS MB", most[1] as f64 / 1e6),
        ("PostgreSQL us/job", used(0)),
        ("RabbitMQ us/job", used(1)),
        ("own us/job", used(2)),
    ])
}

/// A tenant's one-off jobs, spread over the second that begins at `due`.
fn insert(due: Time) -> String {
    let mut statement =
        "INSERT INTO polychron_job (name, job_type, schedule, next_run_at, schedule_since) VALUES "
            .to_owned();
    for n in 0..JOBS_EACH {
        let at = (due + TimeDelta::microseconds(i64::from(n) * 1_000_000 / i64::from(JOBS_EACH)))
            .format("%Y-%m-%dT%H:%M:%S%.6f+00:00");
        let comma = if n == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ =
            write!(statement, r#"{comma}('job {n}', 'noop', '{{"at":"{at}"}}', '{at}', '{at}')"#);
    }
    statement
}

impl Processes {
    async fn start(system: &System) -> Processes {
        let mut all = Vec::new();
        for n in 0..=CONSUMERS {
            let address = free_address();
            let http = ("POLYCHRON_HTTP", &*address.to_string());
            let (process, ready) = match n {
                0 => (system.producer(&[http]), "connected to the broker for publishing"),
                _ => (
                    system.consumer(&[http, ("POLYCHRON_PREFETCH", PREFETCH)]),
                    "connected to the broker for receiving",
                ),
            };
            process.logged(ready).await;
            all.push((process, address));
        }
        Processes(all)
    }

    /// Waits until the producer has polled every tenant.
    async fn until_watched(&self, tenants: usize) -> anyhow::Result<()> {
        let (clock, began) = (Clock::System, Clock::System.boot_time());
        while figure(self.0[0].1, "polychron_polls_total").await < tenants as f64 {
            ensure!(clock.boot_time() - began < LEAD, "the producer has not polled every tenant");
            clock.sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// How many executions have succeeded, by the consumers' metrics.
    async fn finished(&self) -> f64 {
        let name = r#"polychron_executions_finished_total{status="success",error_kind="none",job_type="noop"}"#;
        let mut sum = 0.0;
        for (_, address) in &self.0[1..] {
            sum += figure(*address, name).await;
        }
        sum
    }

    fn usage(&self) -> Usage {
        self.0.iter().map(|(process, _)| Usage::of_tree(process.pid())).sum()
    }

    /// The memory of the producer and of the largest consumer.
    fn memory(&self) -> [u64; 2] {
        let rss = |(process, _): &(Process, SocketAddr)| Usage::of_tree(process.pid()).rss;
        [rss(&self.0[0]), self.0[1..].iter().map(rss).max().unwrap_or_default()]
    }
}

async fn figure(address: SocketAddr, name: &str) -> f64 {
    get(address, "/metrics").await.map_or(0.0, |answer| answer.figure(name))
}

/// Figures from a tenant's rows.
struct Rows {
    succeeded: i64,
    latest_start: TimeDelta,
    last_end: Time,
}

impl Rows {
    async fn read(url: &DatabaseUrl) -> anyhow::Result<Rows> {
        let query = "SELECT scheduled_for, started_at, finished_at FROM polychron_job_execution WHERE status = 'success'";
        let times: Vec<[Time; 3]> = match url.is_sqlite() {
            true => {
                let mut connection = SqliteConnection::connect(url.expose()).await?;
                let rows = sqlx::query(query).fetch_all(&mut connection).await?;
                rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect()
            }
            false => {
                let mut connection = PgConnection::connect(url.expose()).await?;
                let rows = sqlx::query(query).fetch_all(&mut connection).await?;
                rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect()
            }
        };
        let latest_start = times.iter().map(|[due, start, _]| *start - *due).max();
        let last_end = times.iter().map(|[_, _, end]| *end).max();
        Ok(Rows {
            succeeded: times.len() as i64,
            latest_start: latest_start.unwrap_or_default(),
            last_end: last_end.unwrap_or(Time::MIN),
        })
    }
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.as_seconds_f64()
}
