//! Whether a job costs more if its tenant has many others, or a long history: the same thousand jobs
//! become due repeatedly, in a database with nothing else, in one with a million jobs, and in one with
//! ten million past executions, in turn within each round.

use std::time::Duration;

use anyhow::ensure;
use polychron_bench::{
    Sample, Servers, Sheet, Usage, drop_database, drop_virtual_host, require_fsync,
};
use serde_json::json;
use shared::clock::{Clock, Time};
use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::eventually_within;
use tests::{Process, System};

use crate::Options;
use crate::pipeline::wake;

/// How many jobs are due at one moment.
const DUE: u32 = 1_000;
/// How many jobs the larger table has.
const JOBS: u32 = 1_000_000;
/// How many past executions one statement inserts.
const CHUNK: u32 = 500_000;
/// How long after their creation jobs are due.
const LEAD: f64 = 0.3;
const CONSUMERS: usize = 2;
const PREFETCH: &str = "50";
/// How often to check whether a run is over.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a thousand jobs may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A database of some size, with its processes.
struct Contestant {
    name: String,
    system: System,
}

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, or a run lost a job.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let turns = options.jobs.div_ceil(DUE);
    let settings =
        json!({"rounds": options.rounds, "due": DUE, "turns": turns, "past": options.past});
    let mut sheet = Sheet::new("table-size", &["1000 jobs, no past"], settings);
    let contestants = [
        Contestant::new(DUE, 0).await?,
        Contestant::new(JOBS, 0).await?,
        Contestant::new(DUE, options.past).await?,
    ];
    for round in 0..options.rounds {
        for contestant in &contestants {
            let sample = contestant.measure(&servers, turns).await?;
            eprintln!("round {round}: {}: {:.0} us/job", contestant.name, sample[0].1);
            sheet.add("2 x 50", &contestant.name, sample);
        }
    }
    for contestant in contestants {
        contestant.clear().await?;
    }
    Ok(sheet)
}

impl Contestant {
    #[expect(clippy::print_stderr, reason = "it takes minutes")]
    async fn new(jobs: u32, past: u32) -> anyhow::Result<Contestant> {
        let name = match past {
            0 => format!("{jobs} jobs, no past"),
            _ => format!("{jobs} jobs, {past} past executions"),
        };
        eprintln!("filling: {name}");
        let system = System::new(1).await;
        let mut connection = connect(&system).await?;
        sqlx::query(include_str!("../../../sql/insert_jobs_at_rest.sql"))
            .bind(i64::from(jobs))
            .execute(&mut connection)
            .await?;
        // Without the trigger that locks each row's job against deletion, which does not happen here.
        connection.execute("SET session_replication_role = replica").await?;
        for first in (1..=past).step_by(CHUNK as usize) {
            sqlx::query(include_str!("../../../sql/insert_past_executions.sql"))
                .bind(i64::from(first))
                .bind(i64::from((first + CHUNK - 1).min(past)))
                .bind(i64::from(past))
                .execute(&mut connection)
                .await?;
        }
        connection.execute("VACUUM (ANALYZE)").await?;
        connection.execute("CHECKPOINT").await?;
        Ok(Contestant { name, system })
    }

    /// Starts the processes, makes the same jobs due several times, and ends the processes.
    async fn measure(&self, servers: &Servers, turns: u32) -> anyhow::Result<Sample> {
        let processes = self.start().await;
        let mut connection = connect(&self.system).await?;
        // The first time opens connections and fills caches.
        self.run(&mut connection).await?;
        let own = |n: usize| Usage::of_tree(processes[n].pid());
        let usage = || [servers.postgres(), servers.rabbitmq(), own(0), own(1) + own(2)];
        let (before, mut seconds) = (usage(), 0.0);
        for _ in 0..turns {
            seconds += self.run(&mut connection).await?;
        }
        let after = usage();
        let jobs = f64::from(turns * DUE);
        let used = |n: usize| (after[n] - before[n]).cpu.as_secs_f64() * 1e6 / jobs;
        Ok(vec![
            ("all us/job", (0..4).map(used).sum()),
            ("PostgreSQL us/job", used(0)),
            ("RabbitMQ us/job", used(1)),
            ("producer us/job", used(2)),
            ("consumers us/job", used(3)),
            ("jobs/s", jobs / seconds),
        ])
    }

    /// The producer, then the consumers.
    async fn start(&self) -> Vec<Process> {
        let mut processes = vec![self.system.producer(&[])];
        processes[0].logged("connected to the broker for publishing").await;
        for _ in 0..CONSUMERS {
            let consumer = self.system.consumer(&[("POLYCHRON_PREFETCH", PREFETCH)]);
            consumer.logged("connected to the broker for receiving").await;
            processes.push(consumer);
        }
        processes
    }

    /// Makes the jobs due once. Returns the seconds until the last result was recorded.
    async fn run(&self, connection: &mut PgConnection) -> anyhow::Result<f64> {
        let due: Time = sqlx::query_scalar(include_str!("../../../sql/make_jobs_due.sql"))
            .bind(i64::from(DUE))
            .bind(LEAD)
            .fetch_one(&mut *connection)
            .await?;
        let tenant = self.system.control.list_tenants().await?.remove(0);
        wake(&self.system.amqp_url, &tenant.id.to_string()).await;
        let connection = tokio::sync::Mutex::new(connection);
        let seconds = eventually_within(LIMIT, "every job has succeeded", || async {
            Clock::System.sleep(ASK_EVERY).await;
            let query = sqlx::query_as(include_str!("../../../sql/count_done_of.sql"));
            let (done, seconds): (i64, Option<f64>) = query
                .bind(due)
                .bind(i64::from(DUE))
                .fetch_one(&mut **connection.lock().await)
                .await
                .ok()?;
            seconds.filter(|_| done == i64::from(DUE))
        })
        .await;
        ensure!(seconds > 0.0, "jobs ended before they were due");
        Ok(seconds)
    }

    async fn clear(self) -> anyhow::Result<()> {
        drop_virtual_host(&self.system.amqp_url).await;
        drop_database(self.system.tenants[0].url.expose()).await?;
        drop_database(self.system.control_url()).await
    }
}

async fn connect(system: &System) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect(system.tenants[0].url.expose()).await?)
}
