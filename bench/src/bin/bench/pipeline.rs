//! How many jobs per second go from due to a recorded result: one tenant's no-op jobs, all due at one
//! moment, with release builds.
//!
//! They are compared with hand-written programs (`../handwritten.rs`) that do only the same durable
//! writes, with minimal tables of their own. Both have the same number of handlers in flight: consumers
//! × prefetch.

use std::time::Duration;

use polychron_bench::{
    Sample, Servers, Sheet, Usage, costs, drop_database, drop_virtual_host, require_fsync,
};
use serde_json::json;
use shared::clock::Clock;
use sqlx::{Connection as _, PgConnection};
use testkit::{eventually, execute, postgres_database, virtual_host};
use tests::{Process, System};

use crate::Options;

/// How long after their creation a run's jobs are due: time to become idle and to take a first sample.
const LEAD: Duration = Duration::from_millis(300);
/// How often to check whether a run is over. The measured time comes from its rows.
const ASK_EVERY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
enum Contestant {
    Polychron,
    Simple,
    Batched,
}

/// One contestant's processes and their database.
pub(crate) struct Run {
    pub(crate) database_url: String,
    amqp_url: String,
    control_url: Option<String>,
    wake: Option<String>,
    processes: Vec<Process>,
}

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, or a run lost a job.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let settings = json!({"rounds": options.rounds, "jobs": options.jobs});
    let mut sheet = Sheet::new("pipeline", &["simple", "batched"], settings);
    for round in 0..options.rounds {
        for (prefetch, consumers) in [(5, 1), (5, 2), (5, 4), (50, 1), (50, 2), (50, 4)] {
            let group = format!("{consumers} x {prefetch}");
            let jobs = jobs(options, prefetch);
            let mut turns = [Contestant::Polychron, Contestant::Simple, Contestant::Batched];
            turns.rotate_left(round as usize % 3);
            for contestant in turns {
                let name = format!("{contestant:?}").to_lowercase();
                if !options.includes(&format!("{group} {name}")) {
                    continue;
                }
                let run = contestant.start(prefetch, consumers).await?;
                let sample = run.measure(&servers, jobs).await?;
                eprintln!("round {round}: {group} {name}: {:.0} jobs/s", sample[0].1);
                sheet.add(&group, &name, sample);
            }
        }
    }
    Ok(sheet)
}

/// How many jobs a run has. With many slots it has several times as many and takes about as long, so
/// its start, with cold connections and an empty queue, has the same weight.
fn jobs(options: &Options, prefetch: usize) -> u32 {
    if prefetch == 5 { options.jobs } else { options.jobs * 4 }
}

impl Contestant {
    /// Starts the processes and waits until they are ready.
    async fn start(self, prefetch: usize, consumers: usize) -> anyhow::Result<Run> {
        match self {
            Contestant::Polychron => start_polychron(prefetch, consumers).await,
            Contestant::Simple => start_handwritten("simple", "produce", prefetch, consumers).await,
            Contestant::Batched => {
                start_handwritten("batched", "produce", prefetch, consumers).await
            }
        }
    }
}

/// The hand-written program: consumers of one mode, and a producer of another.
pub(crate) async fn start_handwritten(
    consume: &str,
    produce: &str,
    prefetch: usize,
    consumers: usize,
) -> anyhow::Result<Run> {
    let database_url = postgres_database().await;
    execute(&database_url, include_str!("../../../sql/handwritten.sql")).await;
    let (database_url, amqp_url) = (database_url.expose().to_owned(), virtual_host().await);
    let mut processes = Vec::new();
    for mode in std::iter::repeat_n(consume, consumers).chain([produce]) {
        let settings = [
            ("MODE", mode),
            ("PREFETCH", &prefetch.to_string()),
            ("DATABASE_URL", &database_url),
            ("AMQP_URL", &amqp_url),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let process = Process::start("handwritten", &settings);
        process.logged("ready").await;
        processes.push(process);
    }
    Ok(Run { database_url, amqp_url, control_url: None, wake: None, processes })
}

/// Polychron with one tenant.
pub(crate) async fn start_polychron(prefetch: usize, consumers: usize) -> anyhow::Result<Run> {
    let system = System::new(1).await;
    let prefetch = prefetch.to_string();
    let start = |_| system.consumer(&[("POLYCHRON_PREFETCH", &prefetch)]);
    Run::of(&system, (0..consumers).map(start).collect()).await
}

impl Run {
    /// Polychron with these consumers and a producer, once they are connected.
    pub(crate) async fn of(system: &System, mut processes: Vec<Process>) -> anyhow::Result<Run> {
        for consumer in &processes {
            consumer.logged("connected to the broker for receiving").await;
        }
        let producer = system.producer(&[]);
        producer.logged("connected to the broker for publishing").await;
        processes.push(producer);
        let tenant = system.control.list_tenants().await?.remove(0);
        Ok(Run {
            database_url: tenant.database_url.expose().to_owned(),
            amqp_url: system.amqp_url.clone(),
            control_url: Some(system.control_url().to_owned()),
            wake: Some(tenant.id.to_string()),
            processes,
        })
    }

    /// Adds the jobs, measures until they are done, and cleans up.
    pub(crate) async fn measure(self, servers: &Servers, jobs: u32) -> anyhow::Result<Sample> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        sqlx::query(include_str!("../../../sql/insert_due_jobs.sql"))
            .bind(i64::from(jobs))
            .bind(LEAD.as_secs_f64())
            .execute(&mut connection)
            .await?;
        self.wake_producer().await;
        let usage = || [servers.postgres(), servers.rabbitmq(), self.usage()];
        let before = usage();
        let seconds = wait_until_done(&mut connection, jobs).await;
        let sample = costs(jobs, seconds, &before, &usage());
        drop(connection);
        self.clear().await?;
        Ok(sample)
    }

    /// What the processes and their descendants have used.
    pub(crate) fn usage(&self) -> Usage {
        self.processes.iter().map(|process| Usage::of_tree(process.pid())).sum()
    }

    /// Wakes the producer, if it is ours.
    pub(crate) async fn wake_producer(&self) {
        if let Some(tenant) = &self.wake {
            wake(&self.amqp_url, tenant).await;
        }
    }

    /// Ends the processes and deletes their databases and queues.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        drop(self.processes);
        drop_virtual_host(&self.amqp_url).await;
        for url in [Some(self.database_url), self.control_url].into_iter().flatten() {
            drop_database(&url).await?;
        }
        Ok(())
    }
}

/// Wakes the producer.
pub(crate) async fn wake(amqp_url: &str, tenant: &str) {
    let (_, host) = amqp_url.rsplit_once('/').unwrap_or_default();
    let path = format!("/api/exchanges/{host}/polychron.wake/publish");
    let message = json!({
        "properties": {}, "routing_key": "", "payload": tenant, "payload_encoding": "string",
    });
    testkit::management("POST", &path, &message.to_string()).await;
}

/// Seconds from the moment when the jobs were due until the last one's result was recorded.
async fn wait_until_done(connection: &mut PgConnection, jobs: u32) -> f64 {
    let connection = tokio::sync::Mutex::new(connection);
    eventually("every job has succeeded", || async {
        Clock::System.sleep(ASK_EVERY).await;
        let query = sqlx::query_as(include_str!("../../../sql/count_done.sql"));
        let (done, seconds): (i64, Option<f64>) =
            query.fetch_one(&mut **connection.lock().await).await.ok()?;
        seconds.filter(|_| done == i64::from(jobs))
    })
    .await
}
