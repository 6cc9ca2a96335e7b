//! No-op handlers in processes of other languages, beside Rust handlers and beside Python schedulers
//! with the same function and four processes or threads: Celery (prefork), APScheduler, Procrastinate.
//!
//! In the table, the ratio compares jobs/s with Celery. `consumer us/job` is the processor time of our
//! consumer alone: the difference between Python or Node and Rust is what the hop costs.

use anyhow::ensure;
use polychron_bench::{Sample, Servers, Sheet, Usage, require_fsync};
use serde_json::json;
use tests::System;

use crate::Options;
use crate::peers::Peer;
use crate::pipeline::Run;

/// Slots, and so processes, of our one consumer; as many as Celery's.
const PROCESSES: &str = "4";
const PEERS: [Peer; 3] = [Peer::Celery, Peer::Apscheduler, Peer::Procrastinate];
const OURS: [Language; 3] = [Language::Rust, Language::Python, Language::Node];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Rust,
    Python,
    Node,
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
        for language in OURS {
            let name = format!("polychron {}", format!("{language:?}").to_lowercase());
            if options.includes(&name) {
                let sample = language.measure(&servers, options.jobs).await?;
                eprintln!("round {round}: {name}: {:.0} jobs/s", sample[0].1);
                sheet.add("no-op", &name, sample);
            }
        }
        for peer in PEERS.into_iter().filter(|peer| options.includes(&peer.name())) {
            let mut sample =
                peer.start(options.jobs).await?.measure(&servers, options.jobs).await?;
            sample.push(("consumer us/job", f64::NAN));
            sample.push(("RSS MB/handler", f64::NAN));
            eprintln!("round {round}: {}: {:.0} jobs/s", peer.name(), sample[0].1);
            sheet.add("no-op", &peer.name(), sample);
        }
    }
    Ok(sheet)
}

impl Language {
    /// The command of its handler processes; empty for Rust.
    fn command(self) -> anyhow::Result<String> {
        let installed = crate::peers::installed()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
        Ok(match self {
            Language::Rust => String::new(),
            Language::Python => {
                format!("{}/venv/bin/python {source}/noop_handler.py", installed.display())
            }
            Language::Node => {
                format!("{}/node/node {source}/noop_handler.mjs", installed.display())
            }
        })
    }

    async fn measure(self, servers: &Servers, jobs: u32) -> anyhow::Result<Sample> {
        let command = self.command()?;
        let diagnostics = if self == Language::Rust { "on" } else { "off" };
        let settings = [
            ("POLYCHRON_PREFETCH", PROCESSES),
            ("POLYCHRON_DIAGNOSTICS", diagnostics),
            ("POLYCHRON_HANDLERS", &command),
        ];
        let system = System::new(1).await;
        let consumer = system.consumer(&settings);
        let pid = consumer.pid();
        let run = Run::of(&system, vec![consumer]).await?;
        let before = Usage::of(pid);
        let watch = move || (Usage::of(pid) - before, Usage::of_tree(pid));
        let (mut sample, (consumer, tree)) = run.measure_watching(servers, jobs, watch).await?;
        // Each has a launcher, whose memory counts.
        let handlers = tree.processes.saturating_sub(consumer.processes) / 2;
        let each =
            (tree.rss.saturating_sub(consumer.rss)) as f64 / 1e6 / f64::from(handlers.max(1));
        sample.push(("consumer us/job", consumer.cpu.as_secs_f64() * 1e6 / f64::from(jobs)));
        sample.push(("RSS MB/handler", if handlers == 0 { f64::NAN } else { each }));
        ensure!(self == Language::Rust || handlers > 0, "no handler process was started");
        Ok(sample)
    }
}
