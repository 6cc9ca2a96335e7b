//! `polychron schedule preview`: when a schedule would be due, before any job has it.

use chrono::{DateTime, FixedOffset, TimeDelta};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use shared::clock::{Clock, Time};
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};
use uuid::Uuid;

use crate::exit::Failure;
use crate::output::{Column, Output, column, maybe, say, time};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show when a schedule is due, in UTC and in its own zone, with the changes of clocks
    #[command(after_help = "Examples:
  polychron schedule preview '0 2 * * *' --timezone Europe/London -n 10
  polychron schedule preview '30 1 * * *' --timezone Europe/London --from 2026-10-23T00:00:00Z
  polychron schedule preview '{\"every\": \"90m\", \"from\": \"2026-01-01T00:00:00Z\"}' -o json")]
    Preview(Preview),
}

#[derive(Args)]
pub(crate) struct Preview {
    /// A cron expression, or a whole schedule as JSON
    expression: String,
    /// The zone that a cron expression is meant in; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Show what comes after this time, such as 2026-12-01T09:00:00Z; now by default
    #[arg(long, value_name = "TIME")]
    from: Option<Time>,
    /// How many at most
    #[arg(short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    n: u16,
}

/// One time at which a schedule is due.
#[derive(Debug, Serialize)]
pub(crate) struct Due {
    at: Time,
    /// The wall clock in the schedule's zone.
    local: DateTime<FixedOffset>,
    /// That zone.
    timezone: &'static str,
    /// What a change of clocks does to it, if there is one.
    clocks: Option<String>,
}

const COLUMNS: &[Column<Due>] = &[
    column("AT (UTC)", |due| time(Some(due.at))),
    column("LOCAL", |due| due.local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
    column("TIMEZONE", |due| due.timezone.to_owned()),
    column("CLOCKS", |due| maybe(due.clocks.as_ref())),
];

pub(crate) fn run(verb: Verb, output: Output) -> Result<(), Failure> {
    let Verb::Preview(Preview { expression, timezone, from, n }) = verb;
    let text = written(&expression, timezone.as_deref())?;
    // Which job it will be isn't known yet.
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
    let before_first = first.map(|first| first - TimeDelta::microseconds(1));
    let times = before_first.map(|before| schedule.occurrences_explained(before, n.into()));
    let due: Vec<Due> = times
        .unwrap_or_default()
        .into_iter()
        .map(|explained| Due {
            at: explained.at,
            local: explained.local,
            timezone: schedule.timezone(),
            clocks: explained.change.map(|change| change.to_string()),
        })
        .collect();
    output.list(&due, COLUMNS)
}

/// A schedule's JSON text, of what people write for it.
pub(crate) fn written(text: &str, timezone: Option<&str>) -> Result<String, Failure> {
    match (text.trim(), timezone) {
        (json, None) if json.starts_with('{') => Ok(json.to_owned()),
        (json, Some(_)) if json.starts_with('{') => {
            let text = "--timezone: a schedule in JSON has a `timezone` of its own";
            Err(Failure::Usage(text.to_owned()))
        }
        (cron, Some(timezone)) => Ok(json!({"cron": cron, "timezone": timezone}).to_string()),
        (cron, None) => Ok(json!({"cron": cron}).to_string()),
    }
}

/// Reads what the engine would read, and shows where it went wrong.
pub(crate) fn read(text: &str, spread: Spread) -> Result<Schedule, Failure> {
    Schedule::read(text, spread).map_err(|error| Failure::Usage(error.picture()))
}
