//! Runs the cases and prints their results: `make bench`, `make bench CASE=pipeline`.

mod burst;
mod fairness;
mod languages;
mod latency;
mod pages;
mod peers;
mod pipeline;
mod population;
mod soak;
mod table_size;
mod tenants;

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Parser, ValueEnum};

/// Measures Polychron and the programs that it is compared with.
#[derive(Parser)]
struct Options {
    /// What to measure; default: everything
    case: Option<Case>,
    /// How many rounds; each contestant runs once per round
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How many jobs in one run (of `pipeline` with 50 slots: four times as many)
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    jobs: u32,
    /// How many past executions `table-size` fills in
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    past: u32,
    /// How long `soak` lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    minutes: u32,
    /// Only groups of contestants whose name contains this, such as "2 x 50" or "x 50"; in `pipeline`
    /// also a single contestant, such as "4 x 50 polychron"
    #[arg(long)]
    only: Option<String>,
    /// The folder for the samples (JSON)
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

impl Options {
    /// Whether this group is to be measured.
    fn includes(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| group.contains(only.as_str()))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Case {
    /// A hundred thousand jobs of a thousand tenants, due within one second
    Burst,
    /// A tenant beside one with a large backlog, and a tenant's `max_running`
    Fairness,
    /// No-op handlers in Python and Node processes, beside Rust handlers and Python schedulers
    Languages,
    /// How long after its due time a handler is called, beside a hand-written program
    Latency,
    /// The dashboard and the API over 10,000 tenants with 1,000,000 executions
    Pages,
    /// Other schedulers and queues beside ours, with the same work
    Peers,
    /// Due jobs to recorded results, beside hand-written programs with the same durability
    Pipeline,
    /// A steady load for a long time: what grows, such as memory and tables
    Soak,
    /// What a job costs in small tables and in very large ones
    TableSize,
    /// Many tenants without due jobs, and how producers divide them
    Tenants,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program whose purpose is to print")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let cases = options.case.as_ref().map_or(Case::value_variants(), std::slice::from_ref);
    for case in cases {
        let sheets = match case {
            Case::Burst => vec![burst::measure(&options).await?],
            Case::Fairness => vec![fairness::measure(&options).await?],
            Case::Languages => vec![languages::measure(&options).await?],
            Case::Latency => vec![latency::measure(&options).await?],
            Case::Pages => pages::measure(&options).await?,
            Case::Peers => vec![peers::measure(&options).await?],
            Case::Pipeline => vec![pipeline::measure(&options).await?],
            Case::Soak => vec![soak::measure(&options).await?],
            Case::TableSize => vec![table_size::measure(&options).await?],
            Case::Tenants => vec![tenants::measure(&options).await?],
        };
        for sheet in sheets {
            ensure!(!sheet.is_empty(), "--only names no group of this case");
            println!("{}", sheet.table());
            sheet.write(&options.out)?;
        }
    }
    Ok(())
}
