//! Runs the cases and shows what they have measured: `make bench`, `make bench CASE=pipeline`.

mod pages;
mod pipeline;
mod population;
mod tenants;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Polychron beside what it is compared with.
#[derive(Parser)]
struct Options {
    /// What to measure; none measures everything
    case: Option<Case>,
    /// How often each contestant has its turn
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How many jobs in one run
    #[arg(long, default_value_t = 5000)]
    jobs: u32,
    /// Only this group of contestants, such as "2 x 5"
    #[arg(long)]
    only: Option<String>,
    /// The folder for the samples, as JSON
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Case {
    /// The dashboard and the API over 10,000 tenants with 1,000,000 executions
    Pages,
    /// Due jobs to recorded results, beside hand-written programs with the same durability
    Pipeline,
    /// Many tenants at which nothing is due, and how producers divide them
    Tenants,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program whose purpose is to print")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let cases = options.case.as_ref().map_or(Case::value_variants(), std::slice::from_ref);
    for case in cases {
        let sheets = match case {
            Case::Pages => pages::measure(&options).await?,
            Case::Pipeline => vec![pipeline::measure(&options).await?],
            Case::Tenants => vec![tenants::measure(&options).await?],
        };
        for sheet in sheets {
            println!("{}", sheet.table());
            sheet.write(&options.out)?;
        }
    }
    Ok(())
}
