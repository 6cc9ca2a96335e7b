//! Other schedulers and job queues doing the same work on the same servers, in turn with ours within
//! each round: no-op jobs, from the moment when they are due (or enqueued) until the last result is in
//! PostgreSQL.
//!
//! The peers' programs are in `bench/peers`; `scripts/bench-peers` installs what they need. In the
//! table, each peer is a group of its own: the ratio says how many times faster ours is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use polychron_bench::{
    Sample, Servers, Sheet, Usage, costs, drop_database, drop_virtual_host, require_fsync,
};
use rustix::process::Signal;
use serde_json::json;
use shared::clock::{Clock, Time};
use sqlx::{Connection as _, PgConnection};
use testkit::{eventually_within, execute, postgres_database, virtual_host};
use tests::Process;

use crate::Options;
use crate::pipeline::start_polychron;

/// How often to check whether a run is over. The measured time comes from its rows.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Our consumers, and the slots of each.
const OURS: [(usize, usize); 3] = [(2, 5), (2, 50), (4, 50)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Apscheduler,
    Celery,
    Procrastinate,
    GraphileWorker,
    Apalis,
}

const PEERS: [Peer; 5] =
    [Peer::Apscheduler, Peer::Celery, Peer::Procrastinate, Peer::GraphileWorker, Peer::Apalis];
const NAMES: &[&str] = &["apscheduler", "celery", "procrastinate", "graphileworker", "apalis"];

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, the peers are not installed, or a job got lost.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let peers: Vec<Peer> =
        PEERS.into_iter().filter(|peer| options.includes(&peer.name())).collect();
    ensure!(!peers.is_empty(), "--only names none of {}", NAMES.join(", "));
    let settings = json!({"rounds": options.rounds, "jobs": options.jobs});
    let mut sheet = Sheet::new("peers", NAMES, settings);
    for round in 0..options.rounds {
        let mut ours = Vec::new();
        for (consumers, prefetch) in OURS {
            let run = start_polychron(prefetch, consumers).await?;
            let sample = run.measure(&servers, options.jobs).await?;
            let name = format!("polychron {consumers} x {prefetch}");
            eprintln!("round {round}: {name}: {:.0} jobs/s", sample[0].1);
            ours.push((name, sample));
        }
        for peer in &peers {
            let sample = peer.start(options.jobs).await?.measure(&servers, options.jobs).await?;
            let name = peer.name();
            eprintln!("round {round}: {name}: {:.0} jobs/s", sample[0].1);
            sheet.add(&name, &name, sample);
            for (our_name, sample) in &ours {
                sheet.add(&name, our_name, sample.clone());
            }
        }
    }
    Ok(sheet)
}

/// One peer's processes and their database.
pub(crate) struct Run {
    peer: Peer,
    database_url: String,
    amqp_url: String,
    processes: Vec<Process>,
}

impl Peer {
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Its programs with their arguments: first the one that creates the tables and enqueues the jobs, the
    /// worker last.
    fn programs(self) -> Vec<(&'static str, Vec<&'static str>)> {
        let worker =
            ["-m", "celery", "-A", "celery_app", "worker", "-P", "prefork", "-c", "4"].to_vec();
        match self {
            Peer::Apscheduler => vec![("venv/bin/python", vec!["apscheduler_poll.py"])],
            Peer::Celery => {
                vec![("venv/bin/python", vec!["celery_app.py"]), ("venv/bin/python", worker)]
            }
            Peer::Procrastinate => vec![
                ("venv/bin/python", vec!["procrastinate_app.py", "enqueue"]),
                ("venv/bin/python", vec!["procrastinate_app.py", "worker"]),
            ],
            Peer::GraphileWorker => vec![
                ("node/node", vec!["graphile_worker.mjs", "enqueue"]),
                ("node/node", vec!["graphile_worker.mjs", "work"]),
            ],
            Peer::Apalis => vec![
                ("apalis/release/apalis-peer", vec!["enqueue"]),
                ("apalis/release/apalis-peer", vec!["work"]),
            ],
        }
    }

    /// Counts finished jobs.
    fn count_done(self) -> &'static str {
        match self {
            Peer::Apscheduler => include_str!("../../../sql/peer_apscheduler.sql"),
            Peer::Celery => include_str!("../../../sql/peer_celery.sql"),
            Peer::Procrastinate => include_str!("../../../sql/peer_procrastinate.sql"),
            Peer::GraphileWorker => include_str!("../../../sql/peer_graphileworker.sql"),
            Peer::Apalis => include_str!("../../../sql/peer_apalis.sql"),
        }
    }

    /// Starts the processes and waits until they are ready.
    pub(crate) async fn start(self, jobs: u32) -> anyhow::Result<Run> {
        let database_url = postgres_database().await;
        if self == Peer::Apscheduler {
            execute(&database_url, include_str!("../../../peers/apscheduler_poll.sql")).await;
        }
        let (database_url, amqp_url) = (database_url.expose().to_owned(), virtual_host().await);
        let mut processes = Vec::new();
        let installed = installed()?;
        for (program, arguments) in self.programs() {
            let program = installed.join(program);
            ensure!(program.exists(), "there is no {}; run scripts/bench-peers", program.display());
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
            let settings = [
                ("DATABASE_URL", database_url.as_str()),
                ("AMQP_URL", &amqp_url),
                ("JOBS", &jobs.to_string()),
                ("PYTHONPATH", source),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
            // Scripts are named by absolute paths, since the working directory is another one. Node's must
            // be beside its packages.
            let arguments = arguments.iter().map(|argument| {
                match argument.rsplit_once('.').map(|(_, ending)| ending) {
                    Some("py") => format!("{source}/{argument}"),
                    Some("mjs") => program.with_file_name(argument).display().to_string(),
                    _ => (*argument).to_owned(),
                }
            });
            let arguments: Vec<String> = arguments.collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let program = program.to_str().context("the target folder's name is not UTF-8")?;
            let process = Process::start_with(program, &arguments, &settings);
            process.logged("ready").await;
            processes.push(process);
        }
        Ok(Run { peer: self, database_url, amqp_url, processes })
    }
}

/// Where `scripts/bench-peers` installs: beside the folder of this program.
pub(crate) fn installed() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.ancestors().nth(2).context("this program lies in no folder")?.join("bench/peers"))
}

impl Run {
    /// Adds the jobs, measures until they are done, and cleans up.
    pub(crate) async fn measure(self, servers: &Servers, jobs: u32) -> anyhow::Result<Sample> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        let ours = || self.processes.iter().map(|process| Usage::of_tree(process.pid())).sum();
        let usage = || [servers.postgres(), servers.rabbitmq(), ours()];
        let before = usage();
        let began = self.begin(&mut connection, jobs).await?;
        let seconds = self.wait_until_done(&mut connection, jobs, began).await;
        let sample = costs(jobs, seconds, &before, &usage());
        drop(connection);
        self.end().await?;
        Ok(sample)
    }

    /// Enqueues the jobs. Returns when that was.
    async fn begin(&self, connection: &mut PgConnection, jobs: u32) -> anyhow::Result<Time> {
        if self.peer == Peer::Apscheduler {
            sqlx::query(include_str!("../../../sql/insert_due_jobs.sql"))
                .bind(i64::from(jobs))
                .bind(0.3)
                .execute(&mut *connection)
                .await?;
            return Ok(sqlx::query_scalar("SELECT min(next_run_at) FROM polychron_job")
                .fetch_one(connection)
                .await?);
        }
        let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(connection).await?;
        self.processes[0].signal(Signal::USR1);
        Ok(now)
    }

    async fn wait_until_done(&self, connection: &mut PgConnection, jobs: u32, began: Time) -> f64 {
        let connection = tokio::sync::Mutex::new(connection);
        let what = format!("{} has done every job", self.peer.name());
        eventually_within(LIMIT, &what, || async {
            Clock::System.sleep(ASK_EVERY).await;
            let query = sqlx::query_as(self.peer.count_done()).bind(began);
            let (done, seconds): (i64, Option<f64>) =
                query.fetch_one(&mut **connection.lock().await).await.ok()?;
            seconds.filter(|_| done == i64::from(jobs))
        })
        .await
    }

    /// Lets the processes exit by themselves, so they also end their children.
    async fn end(self) -> anyhow::Result<()> {
        for mut process in self.processes {
            process.signal(Signal::TERM);
            process.ended().await;
        }
        drop_virtual_host(&self.amqp_url).await;
        drop_database(&self.database_url).await
    }
}
