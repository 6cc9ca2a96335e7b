//! `polychron schedule preview`: when a schedule would be due, before any job has it.

use chrono::{NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{OffsetName, Tz};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
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
    local: String,
    /// What that zone's time is called then.
    zone: String,
    /// What the clocks do around it, if they do anything.
    clocks: Option<String>,
}

pub(crate) const COLUMNS: &[Column<Due>] = &[
    column("AT (UTC)", |due| time(Some(due.at))),
    column("LOCAL", |due| due.local.clone()),
    column("ZONE", |due| due.zone.clone()),
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
    let due = due(&schedule, schedule.first_after(from), zone(&text), n.into());
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

/// The zone that a schedule is meant in.
pub(crate) fn zone(text: &str) -> Tz {
    let fields: Value = serde_json::from_str(text).unwrap_or_default();
    let name = fields.get("timezone").and_then(Value::as_str);
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}

/// The times from `first` on, at most `n`.
pub(crate) fn due(schedule: &Schedule, first: Option<Time>, zone: Tz, n: usize) -> Vec<Due> {
    let times = std::iter::successors(first, |time| schedule.next_after(*time));
    times.take(n).map(|at| Due::new(at, zone)).collect()
}

impl Due {
    fn new(at: Time, zone: Tz) -> Due {
        let local = at.with_timezone(&zone);
        Due {
            at,
            local: local.format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            zone: local.offset().abbreviation().unwrap_or_default().to_owned(),
            clocks: clocks(at, local.naive_local(), zone).map(str::to_owned),
        }
    }
}

/// What is odd about a wall-clock time: it comes twice, or those just before it don't exist.
fn clocks(at: Time, local: NaiveDateTime, zone: Tz) -> Option<&'static str> {
    let offset_of_first = zone.from_local_datetime(&local).earliest()?.offset().fix();
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    if zone.from_local_datetime(&local).single().is_none() {
        return Some(match offset == offset_of_first {
            true => "turned back: first pass",
            false => "turned back: second pass",
        });
    }
    let just_before = zone.from_local_datetime(&(local - TimeDelta::seconds(1)));
    just_before.earliest().is_none().then_some("turned forward just before")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clocks_do_is_told() {
        for (at, clocks, local) in [
            (
                "2026-03-29T01:00:00Z",
                Some("turned forward just before"),
                "2026-03-29T02:00:00+01:00",
            ),
            ("2026-03-29T01:30:00Z", None, "2026-03-29T02:30:00+01:00"),
            ("2026-10-25T00:30:00Z", Some("turned back: first pass"), "2026-10-25T01:30:00+01:00"),
            ("2026-10-25T01:30:00Z", Some("turned back: second pass"), "2026-10-25T01:30:00+00:00"),
            ("2026-10-25T02:30:00Z", None, "2026-10-25T02:30:00+00:00"),
        ] {
            let due = Due::new(at.parse().unwrap(), chrono_tz::Europe::London);
            assert_eq!((due.clocks.as_deref(), due.local.as_str()), (clocks, local), "{at}");
        }
    }
}
