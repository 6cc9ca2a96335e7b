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

/// The options of a schedule that people write beside its expression.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Its time zone.
    pub timezone: Option<&'a str>,
    /// The dates on which it is not due.
    pub except: &'a [String],
    /// The years of a cron expression.
    pub years: Option<&'a str>,
    /// Its first possible time.
    pub start: Option<&'a str>,
    /// Its last possible time.
    pub end: Option<&'a str>,
}

impl Options<'_> {
    /// The schedule with these options.
    pub fn added_to(&self, mut schedule: Value) -> Value {
        for (field, given) in
            [("timezone", self.timezone), ("start", self.start), ("end", self.end)]
        {
            if let Some(given) = given {
                schedule[field] = given.into();
            }
        }
        if let Some(years) = self.years {
            // Several expressions are schedules of their own.
            match schedule.get_mut("any").and_then(Value::as_array_mut) {
                Some(members) => {
                    members.iter_mut().for_each(|member| member["years"] = years.into())
                }
                None => schedule["years"] = years.into(),
            }
        }
        if !self.except.is_empty() {
            schedule["except"] = self.except.into();
        }
        schedule
    }

    /// The fields that are given.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("timezone", self.timezone.is_some()),
            ("except", !self.except.is_empty()),
            ("years", self.years.is_some()),
            ("start", self.start.is_some()),
            ("end", self.end.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}

/// The JSON of a schedule that people write: JSON already, or a cron expression. Several expressions, each
/// on its own line, are several schedules in one.
pub fn written(text: &str, options: &Options<'_>) -> Result<String, Failure> {
    let text = text.trim();
    if text.starts_with('{') {
        return match options.names().next() {
            None => Ok(text.to_owned()),
            Some(name) => {
                let text = format!("--{name}: a schedule in JSON has `{name}` in it");
                Err(Failure::Usage(text))
            }
        };
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let schedule = if lines.len() > 1 { crons(&lines) } else { json!({"cron": text}) };
    Ok(options.added_to(schedule).to_string())
}

/// The schedule of several cron expressions.
fn crons(expressions: &[&str]) -> Value {
    let any: Vec<Value> = expressions.iter().map(|cron| json!({"cron": cron})).collect();
    json!({"any": any})
}

/// What a person's text changes of a schedule: JSON, or a cron expression.
pub fn patch(text: &str, options: &Options<'_>) -> Result<Patch, Failure> {
    Patch::read(&written(text, options)?).map_err(|error| Failure::Usage(error.annotated()))
}

/// Reads a schedule as the engine does. The failure points at what is wrong.
pub fn read(text: &str, spread: Spread) -> Result<Schedule, Failure> {
    Schedule::read(text, spread).map_err(|error| Failure::Usage(error.annotated()))
}

/// Refuses a schedule that is used up already, such as one whose exceptions leave it no time to come.
pub fn check_is_to_come(schedule: &Schedule, now: Time) -> Result<(), Failure> {
    if schedule.first_after(now).is_some() {
        return Ok(());
    }
    let now = now.format("%F %T UTC");
    Err(Failure::Usage(format!(
        "schedule: has no time after {now}; extend it, or leave out fewer dates"
    )))
}

/// The schedule itself, if the engine can read it.
pub fn checked(schedule: Value, spread: Spread) -> Result<Value, Failure> {
    read(&schedule.to_string(), spread)?;
    Ok(schedule)
}
