//! How long after its due time a job's handler is called, on a quiet system and at four fifths of the
//! pipeline's maximum rate, compared with a hand-written program that does the same durable writes and
//! whose producer sleeps until the next job is due, as ours does.
//!
//! Both record when a probe's handler was called, after its row was recorded as running.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use polychron_bench::{Sample, Servers, Sheet, require_fsync};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::{Clock, Time};
use sqlx::{Connection as _, PgConnection};
use testkit::{Folder, eventually_within};

use crate::Options;
use crate::pipeline::{Run, start_handwritten, start_polychron};

/// How many jobs are measured in one run.
const PROBES: u32 = 300;
/// The time over which they are spread.
const QUIET: Duration = Duration::from_secs(30);
const LOADED: Duration = Duration::from_secs(15);
/// The load, as a fraction of the maximum rate.
const LOAD: f64 = 0.8;
/// The maximum rate is measured with this multiple of `--jobs`.
const SUSTAINED: u32 = 30;
/// Consumers, and slots per consumer, of both contestants.
const CONSUMERS: usize = 2;
const PREFETCH: usize = 50;
/// The lowest rate at which jobs are inserted, per second.
const INSERTS: f64 = 10_000.0;
/// How often to check whether a run is over.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A run's jobs: only probes, or also a load at this rate.
struct Work {
    others: u32,
    window: Duration,
}

/// Measures.
///
/// # Errors
/// If the servers are missing or misconfigured, or a run lost a job.
#[expect(clippy::print_stderr, reason = "a run takes minutes, so it shows its progress")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Sheet> {
    let servers = Servers::find()?;
    require_fsync().await?;
    let settings = json!({"rounds": options.rounds, "jobs": options.jobs, "probes": PROBES});
    let mut sheet = Sheet::new("latency", &["handwritten"], settings);
    for round in 0..options.rounds {
        for group in ["quiet", "80 % load"].into_iter().filter(|group| options.includes(group)) {
            let work = match group {
                "quiet" => Work { others: 0, window: QUIET },
                _ => load(&servers, options.jobs).await?,
            };
            for turn in 0..2 {
                let ours = (turn + round) % 2 == 0;
                let name = if ours { "polychron" } else { "handwritten" };
                let latencies =
                    if ours { run_ours(&work).await? } else { run_theirs(&work).await? };
                let sample = sample(latencies, &work)?;
                eprintln!("round {round}: {group} {name}: {sample:.1?}");
                sheet.add(group, name, sample);
            }
        }
    }
    Ok(sheet)
}

/// Four fifths of the pipeline's present maximum rate, measured for as long as the load will last, so
/// that the servers' clean-up is included.
async fn load(servers: &Servers, jobs: u32) -> anyhow::Result<Work> {
    let run = start_polychron(PREFETCH, CONSUMERS).await?;
    let sample = run.measure(servers, jobs * SUSTAINED).await?;
    let (_, rate) = sample[0];
    Ok(Work { others: (rate * LOAD * LOADED.as_secs_f64()) as u32, window: LOADED })
}

async fn run_ours(work: &Work) -> anyhow::Result<Vec<f64>> {
    let folder = Folder::new();
    let file = folder.path("record.jsonl");
    let run = start_polychron(PREFETCH, CONSUMERS).await?;
    run_until_done(&run, work, json!({"file": file})).await?;
    run.clear().await?;
    let text = fs::read_to_string(&file)?;
    let records = text.lines().map(serde_json::from_str::<Record>);
    let records: Vec<Record> = records.collect::<Result<_, _>>()?;
    let starts = records.into_iter().filter(|record| record.event == "start");
    Ok(starts.map(|record| milliseconds(record.time - record.occurrence)).collect())
}

async fn run_theirs(work: &Work) -> anyhow::Result<Vec<f64>> {
    let run = start_handwritten("batched", "timed", PREFETCH, CONSUMERS).await?;
    let mut connection = run_until_done(&run, work, json!({})).await?;
    let starts = sqlx::query_scalar(include_str!("../../../sql/handwritten_starts.sql"));
    let latencies = starts.fetch_all(&mut connection).await?;
    drop(connection);
    run.clear().await?;
    Ok(latencies)
}

/// A line that a `record` job writes.
#[derive(Deserialize)]
struct Record {
    event: String,
    occurrence: Time,
    time: Time,
}

/// Inserts the jobs before the first one is due, and waits until all have a result.
async fn run_until_done(run: &Run, work: &Work, probe: Value) -> anyhow::Result<PgConnection> {
    let mut connection = PgConnection::connect(&run.database_url).await?;
    let lead = 2.0 + f64::from(work.others) / INSERTS;
    for (count, job_type, payload) in [(work.others, "noop", json!({})), (PROBES, "record", probe)]
    {
        sqlx::query(include_str!("../../../sql/insert_spread_jobs.sql"))
            .bind(i64::from(count))
            .bind(job_type)
            .bind(job_type)
            .bind(payload.to_string())
            .bind(lead)
            .bind(work.window.as_secs_f64())
            .execute(&mut connection)
            .await?;
    }
    run.wake_producer().await;
    // Counting them costs the server as much as some hundred jobs.
    Clock::System.sleep(Duration::from_secs_f64(lead) + work.window).await;
    let connection = tokio::sync::Mutex::new(connection);
    eventually_within(LIMIT, "every job has succeeded", || async {
        Clock::System.sleep(ASK_EVERY).await;
        let query = sqlx::query_as(include_str!("../../../sql/count_done.sql"));
        let (done, _): (i64, Option<f64>) =
            query.fetch_one(&mut *connection.lock().await).await.ok()?;
        (done == i64::from(work.others + PROBES)).then_some(())
    })
    .await;
    Ok(connection.into_inner())
}

fn sample(mut latencies: Vec<f64>, work: &Work) -> anyhow::Result<Sample> {
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies.get(((latencies.len() - 1) as f64 * part).round() as usize);
    let at = |part| at(part).copied().context("a run has no start");
    Ok(vec![
        ("p50 ms", at(0.5)?),
        ("p90 ms", at(0.9)?),
        ("p99 ms", at(0.99)?),
        ("max ms", at(1.0)?),
        ("jobs/s", f64::from(work.others + PROBES) / work.window.as_secs_f64()),
    ])
}

fn milliseconds(delta: TimeDelta) -> f64 {
    delta.num_microseconds().unwrap_or(i64::MAX) as f64 / 1000.0
}
