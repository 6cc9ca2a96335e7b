//! `polychron schedule …`: previews schedules, and imports those of other programs.

mod import;
mod translate;

use clap::{Args, Subcommand};
use shared::clock::{Clock, Time};
use shared::config::{Config, Problems};
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};
use uuid::Uuid;

use crate::output::{Column, Output, column, maybe, say, time};
use crate::session::Request;
use operations::failure::Failure;
use operations::schedule::{Due, Options, due, read, written};

#[derive(Subcommand)]
pub enum Verb {
    /// Show when a schedule is due, in UTC and in its own time zone, with clock changes
    #[command(after_help = "Examples:
  polychron schedule preview '0 2 * * *' --timezone Europe/London -n 10
  polychron schedule preview '30 1 * * *' --timezone Europe/London --from 2026-10-23T00:00:00Z
  polychron schedule preview '{\"every\": \"90m\", \"from\": \"2026-01-01T00:00:00Z\"}' -o json")]
    Preview(Preview),
    /// Show what an expression means in each scheduler's language that it is valid in
    #[command(after_help = "Examples:
  polychron schedule translate '0 0 12 ? * 2-6'
  polychron schedule translate 'Mon..Fri *-*-* 09:00:00' --timezone Europe/London
  polychron schedule translate 'rate(5 minutes)' -o json")]
    Translate(translate::Translate),
    /// Translate another scheduler's file to jobs, and add them
    #[command(subcommand)]
    Import(import::Source),
    /// Print a Python program that exports the jobs of APScheduler or Celery beat, for `import`
    #[command(after_help = "Examples:
  polychron schedule exporter > exporter.py
  python exporter.py apscheduler --app shop.jobs:scheduler | polychron schedule import apscheduler -")]
    Exporter,
}

#[derive(Args)]
pub struct Preview {
    /// A cron expression, or a whole schedule as JSON
    expression: String,
    /// The time zone of a cron expression; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The years of a cron expression, such as 2026-2028,2030
    #[arg(long, value_name = "YEARS")]
    years: Option<String>,
    /// A date to leave out: 2026-12-25, 2026-12-24/2027-01-02, or 12-25 for each year; give it again for more
    #[arg(long, value_name = "DATE")]
    except: Vec<String>,
    /// Show occurrences after this time, such as 2026-12-01T09:00:00Z; now by default
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    from: Option<Time>,
    /// How many at most
    #[arg(short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    n: u16,
}

pub(crate) const COLUMNS: &[Column<Due>] = &[
    column("AT (UTC)", |due| time(Some(due.at))),
    column("LOCAL", |due| due.local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
    column("TIMEZONE", |due| due.timezone.to_owned()),
    column("CLOCKS", |due| maybe(due.clocks.as_ref())),
];

pub(crate) async fn run(
    verb: Verb,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let problem = match &config {
        Ok(config) => operations::zones::follow_installation(config).await,
        Err(_) => None,
    };
    if let Some(reason) = problem {
        say(&format!(
            "the installation's time zone rules cannot be read, so the built-in ones are used: {reason}"
        ));
    }
    match verb {
        Verb::Preview(arguments) => preview(arguments, output),
        Verb::Translate(arguments) => translate::run(arguments, output),
        Verb::Exporter => output.text(operations::import::EXPORTER),
        Verb::Import(source) => Box::pin(import::run(source, config, output, request)).await,
    }
}

fn preview(arguments: Preview, output: Output) -> Result<(), Failure> {
    let Preview { expression, timezone, except, years, from, n } = arguments;
    let options = Options {
        timezone: timezone.as_deref(),
        except: &except,
        years: years.as_deref(),
        ..Options::default()
    };
    let text = written(&expression, &options)?;
    // The job is not known yet.
    let schedule = read(&text, Spread::new(TenantId(Uuid::nil()), JobId(0)))?;
    if text.contains("\"jitter\"") || expression.contains('H') {
        say(
            "`H` and `jitter` differ from job to job; `polychron job next` shows a job's own times",
        );
    }
    let from = from.unwrap_or_else(|| Clock::System.wall_time());
    show(&schedule, schedule.first_after(from), n, output)
}

/// Shows the times from `first` on, at most `n`, and to people the schedule in words.
pub(crate) fn show(
    schedule: &Schedule,
    first: Option<Time>,
    n: u16,
    output: Output,
) -> Result<(), Failure> {
    if output.is_for_people() {
        say(&schedule.describe());
    }
    output.list(&due(schedule, first, n), COLUMNS)
}
