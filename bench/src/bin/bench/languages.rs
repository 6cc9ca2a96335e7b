//! No-op handlers in Python and Node processes, with the SDKs, beside Rust handlers and beside Python
//! schedulers with the same function and four processes or threads: Celery (prefork), APScheduler,
//! Procrastinate.
//!
//! Each of ours first runs some jobs, so that its processes are running as Celery's are. Then single jobs
//! follow each other slowly: the median time from claim to result is a handler's latency. Then all jobs
//! are due at one moment. The ratio compares jobs/s with Celery. The *hop* is what a handler process costs
//! more than the Rust handler of the same round.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use polychron_bench::{Sample, Servers, Sheet, Usage, costs, require_fsync};
use serde_json::json;
use shared::clock::Clock;
use sqlx::{Connection as _, PgConnection};
use testkit::eventually_within;
use tests::{Process, System};

use crate::Options;
use crate::peers::Peer;
use crate::pipeline::Run;

/// Slots, and so processes, of our one consumer; as many as Celery's.
const PROCESSES: &str = "4";
const PEERS: [Peer; 3] = [Peer::Celery, Peer::Apscheduler, Peer::Procrastinate];
const OURS: [Language; 3] = [Language::Rust, Language::Python, Language::Node];
/// Jobs that make the processes start.
const WARM_UP: u32 = 400;
/// Jobs that follow each other slowly, and the time over which they are spread.
const SINGLE: u32 = 300;
const SPREAD: Duration = Duration::from_secs(10);
/// How long after their creation jobs are due: time to become idle and to take a first sample.
const LEAD: Duration = Duration::from_millis(300);
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long a phase may take.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Rust,
    Python,
    Node,
}

/// What one of ours cost.
struct Measured {
    costs: Sample,
    /// Processor time of the consumer alone, without its handler processes, in microseconds a job.
    consumer_micros: f64,
    /// The median from claim to result of single jobs.
    single_millis: f64,
    /// Megabytes of each handler process; none in Rust.
    handler_megabytes: Option<f64>,
    /// The same of an interpreter that waits.
    bare_megabytes: Option<f64>,
}

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, the peers are not installed, or a job got lost.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let settings = json!({"rounds": options.rounds, "jobs": options.jobs, "processes": PROCESSES});
    let mut sheet = Sheet::new("languages", &["celery"], settings);
    for round in 0..options.rounds {
        // Always measured, because the others' hop is the difference from it.
        let rust = Language::Rust.measure(&servers, options.jobs).await?;
        for language in OURS {
            let name = format!("polychron {}", format!("{language:?}").to_lowercase());
            if options.includes(&name) {
                let sample = match language {
                    Language::Rust => rust.sample(&rust),
                    _ => language.measure(&servers, options.jobs).await?.sample(&rust),
                };
                eprintln!("round {round}: {name}: {sample:.1?}");
                sheet.add("no-op", &name, sample);
            }
        }
        for peer in PEERS.into_iter().filter(|peer| options.includes(&peer.name())) {
            let costs = peer.start(options.jobs).await?.measure(&servers, options.jobs).await?;
            let name = peer.name();
            eprintln!("round {round}: {name}: {costs:.1?}");
            sheet.add("no-op", &name, figures(costs, [f64::NAN; 6]));
        }
    }
    Ok(sheet)
}

impl Measured {
    /// All figures, with the differences from Rust's.
    fn sample(&self, rust: &Measured) -> Sample {
        let more = [
            self.consumer_micros,
            self.consumer_micros - rust.consumer_micros,
            self.single_millis,
            self.single_millis - rust.single_millis,
            self.handler_megabytes.unwrap_or(f64::NAN),
            self.bare_megabytes.unwrap_or(f64::NAN),
        ];
        figures(self.costs.clone(), more)
    }
}

/// The costs and what only ours have.
fn figures(mut costs: Sample, more: [f64; 6]) -> Sample {
    let names = [
        "consumer us/job",
        "hop us/job",
        "single p50 ms",
        "hop ms",
        "RSS MB/handler",
        "RSS MB bare",
    ];
    costs.extend(names.into_iter().zip(more));
    costs
}

impl Language {
    /// The interpreter; none for Rust.
    fn interpreter(self) -> anyhow::Result<Option<String>> {
        let name = match self {
            Language::Rust => return Ok(None),
            Language::Python => "venv/bin/python",
            Language::Node => "node/node",
        };
        let program = crate::peers::installed()?.join(name);
        ensure!(program.exists(), "there is no {}; run scripts/bench-peers", program.display());
        Ok(Some(program.display().to_string()))
    }

    async fn measure(self, servers: &Servers, jobs: u32) -> anyhow::Result<Measured> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
        let sdk = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/python/src");
        let command = match (self, self.interpreter()?) {
            (Language::Python, Some(python)) => format!("'{python}' -m polychron noop_jobs"),
            (_, Some(node)) => format!("'{node}' '{source}/noop_jobs.mjs'"),
            (_, None) => String::new(),
        };
        let settings = [
            ("POLYCHRON_PREFETCH", PROCESSES),
            ("POLYCHRON_DIAGNOSTICS", if self == Language::Rust { "on" } else { "off" }),
            ("POLYCHRON_HANDLERS", &command),
            ("PYTHONPATH", &format!("{source}:{sdk}")),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ];
        let system = System::new(1).await;
        let consumer = system.consumer(&settings);
        let pid = consumer.pid();
        let run = Run::of(&system, vec![consumer]).await?;
        let measured = self.measure_run(&run, pid, servers, jobs).await?;
        run.clear().await?;
        Ok(measured)
    }

    async fn measure_run(
        self,
        run: &Run,
        consumer: u32,
        servers: &Servers,
        jobs: u32,
    ) -> anyhow::Result<Measured> {
        let mut connection = PgConnection::connect(&run.database_url).await?;
        complete(run, &mut connection, "warm", WARM_UP, Duration::ZERO).await?;
        complete(run, &mut connection, "single", SINGLE, SPREAD).await?;
        let single_millis = sqlx::query_scalar(include_str!("../../../sql/run_milliseconds.sql"))
            .bind("single")
            .fetch_one(&mut connection)
            .await?;
        let usage = || [servers.postgres(), servers.rabbitmq(), run.usage()];
        let (before, consumer_before) = (usage(), Usage::of(consumer));
        let seconds = complete(run, &mut connection, "noop", jobs, Duration::ZERO).await?;
        let (after, consumer_used) = (usage(), Usage::of(consumer) - consumer_before);
        // Each handler process is the child of a launcher.
        let handlers = Usage::of_generation(consumer, 2);
        let each = |usage: Usage| usage.rss as f64 / 1e6 / f64::from(usage.processes);
        let bare_megabytes = match self.interpreter()? {
            Some(interpreter) => {
                ensure!(handlers.processes == 4, "{} handler processes", handlers.processes);
                Some(each(self.bare(&interpreter).await))
            }
            None => None,
        };
        Ok(Measured {
            costs: costs(jobs, seconds, &before, &after),
            consumer_micros: consumer_used.cpu.as_secs_f64() * 1e6 / f64::from(jobs),
            single_millis,
            handler_megabytes: bare_megabytes.is_some().then(|| each(handlers)),
            bare_megabytes,
        })
    }

    /// The usage of an interpreter that waits.
    async fn bare(self, interpreter: &str) -> Usage {
        let arguments = match self {
            Language::Python => ["-c", "import time; print('ready', flush=True); time.sleep(600)"],
            _ => ["-e", "console.log('ready'); setInterval(() => {}, 1000)"],
        };
        let process = Process::start_with(interpreter, &arguments, &[]);
        process.logged("ready").await;
        Usage::of(process.pid())
    }
}

/// Adds jobs that are due within `spread`, and waits until they have succeeded. Returns the seconds from
/// their due time to the last one's result.
async fn complete(
    run: &Run,
    connection: &mut PgConnection,
    name: &str,
    jobs: u32,
    spread: Duration,
) -> anyhow::Result<f64> {
    sqlx::query(include_str!("../../../sql/insert_spread_jobs.sql"))
        .bind(i64::from(jobs))
        .bind(name)
        .bind("noop")
        .bind("{}")
        .bind(LEAD.as_secs_f64())
        .bind(spread.as_secs_f64())
        .execute(&mut *connection)
        .await?;
    run.wake_producer().await;
    Clock::System.sleep(spread).await; // counting disturbs
    let connection = tokio::sync::Mutex::new(connection);
    let what = format!("every {name} job has succeeded");
    let done = eventually_within(LIMIT, &what, || async {
        Clock::System.sleep(ASK_EVERY).await;
        let query = sqlx::query_as(include_str!("../../../sql/count_done_named.sql")).bind(name);
        let (done, seconds): (i64, Option<f64>) =
            query.fetch_one(&mut **connection.lock().await).await.ok()?;
        (done == i64::from(jobs)).then_some(seconds)
    });
    done.await.context("no job was done")
}
