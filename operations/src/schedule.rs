//! Queries about schedules.

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Time;
use shared::schedule::{Patch, Schedule, Spread};

use crate::failure::Failure;

/// One time at which a schedule is due.
#[derive(Debug, Serialize)]
pub struct Due {
    /// When.
    pub at: Time,
    /// The wall clock in the schedule's zone.
    pub local: DateTime<FixedOffset>,
    /// That zone.
    pub timezone: String,
    /// How a clock change affects it, if one does.
    pub clocks: Option<String>,
}

/// The last moment before a time: times are kept in microseconds.
pub fn just_before(time: Time) -> Time {
    time - TimeDelta::microseconds(1)
}

/// Whether a time is one of the schedule's.
pub fn is_planned(schedule: &Schedule, time: Time) -> bool {
    schedule.next_after(just_before(time)) == Some(time)
}

/// The times from `first` on, at most `n`.
pub fn due(schedule: &Schedule, first: Option<Time>, n: u16) -> Vec<Due> {
    let before_first = first.map(just_before);
    let times = before_first.map(|before| schedule.occurrences_explained(before, n.into()));
    let times = times.unwrap_or_default().into_iter();
    let due = times.map(|explained| Due {
        at: explained.at,
        local: explained.local,
        timezone: schedule.timezone().to_owned(),
        clocks: explained.change.map(|change| change.to_string()),
    });
    due.collect()
}

/// The JSON of a schedule that people write: JSON already, or a cron expression. Several expressions, each
/// on its own line, are several schedules in one.
pub fn written(text: &str, timezone: Option<&str>) -> Result<String, Failure> {
    let text = text.trim();
    if text.starts_with('{') {
        return match timezone {
            None => Ok(text.to_owned()),
            Some(_) => {
                let text = "--timezone: a schedule in JSON has a `timezone` of its own";
                Err(Failure::Usage(text.to_owned()))
            }
        };
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut schedule = if lines.len() > 1 { crons(&lines) } else { json!({"cron": text}) };
    if let Some(timezone) = timezone {
        schedule["timezone"] = timezone.into();
    }
    Ok(schedule.to_string())
}

/// The schedule of several cron expressions.
fn crons(expressions: &[&str]) -> Value {
    let any: Vec<Value> = expressions.iter().map(|cron| json!({"cron": cron})).collect();
    json!({"any": any})
}

/// What a person's text changes of a schedule: JSON, or a cron expression.
pub fn patch(text: &str, timezone: Option<&str>) -> Result<Patch, Failure> {
    Patch::read(&written(text, timezone)?).map_err(|error| Failure::Usage(error.annotated()))
}

/// Reads a schedule as the engine does. The failure points at what is wrong.
pub fn read(text: &str, spread: Spread) -> Result<Schedule, Failure> {
    Schedule::read(text, spread).map_err(|error| Failure::Usage(error.annotated()))
}

/// The schedule itself, if the engine can read it.
pub fn checked(schedule: Value, spread: Spread) -> Result<Value, Failure> {
    read(&schedule.to_string(), spread)?;
    Ok(schedule)
}
