//! `polychron check`: only problems make it fail; warnings don't.

use std::time::Duration;

use clap::Args;
use shared::clock::Time;
use shared::config::{Config, Problems};

use crate::findings::COLUMNS;
use crate::output::Output;
use crate::progress::Progress;
use operations::check::occurrences::Range;
use operations::check::{Report, check};
use operations::failure::Failure;
use operations::finding::{Finding, Level};

/// What to check.
#[derive(Args)]
pub struct Arguments {
    /// Also check in the tenants' tables that everything that should have run did
    #[arg(long, alias = "audit")]
    occurrences: bool,
    /// Check occurrences from this time on, such as 2026-11-24T00:00:00Z; a day ago by default
    #[arg(long, value_name = "TIME", requires = "occurrences", value_parser = crate::input::time)]
    from: Option<Time>,
    /// Check occurrences before this time; by default all up to now, and each job's next time
    #[arg(long, value_name = "TIME", requires = "occurrences", value_parser = crate::input::time)]
    to: Option<Time>,
    /// How overdue something may be before it is a problem
    #[arg(long, value_name = "DURATION", requires = "occurrences", default_value = "1h",
          value_parser = humantime::parse_duration)]
    patience: Duration,
}

pub(crate) async fn run(
    config: Result<Config, Problems>,
    arguments: Arguments,
    output: Output,
) -> Result<(), Failure> {
    let report = match config {
        Ok(config) => examine(&config, &arguments).await?,
        Err(Problems(problems)) => {
            let remedy = "correct it; `polychron check --help` shows every setting";
            let finding = |problem| Finding::problem("settings", problem, remedy);
            let findings = problems.into_iter().map(finding).collect();
            Report { findings, ..Report::default() }
        }
    };
    output.list(&report.findings, COLUMNS)?;
    let problems = report.findings.iter().filter(|finding| finding.level == Level::Problem).count();
    match (report.unreachable.as_slice(), problems) {
        ([], 0) => Ok(()),
        ([], problems) => Err(Failure::Failed(format!("problems found: {problems}"))),
        (unreachable, _) => {
            Err(Failure::Unreachable(format!("cannot reach {}", unreachable.join(" and "))))
        }
    }
}

async fn examine(config: &Config, arguments: &Arguments) -> Result<Report, Failure> {
    let Arguments { occurrences, from, to, patience } = arguments;
    let range = occurrences.then_some(Range { from: *from, to: *to, patience: *patience });
    let progress = Progress::default();
    check(config, range.as_ref(), &mut |step| progress.show(step)).await
}
