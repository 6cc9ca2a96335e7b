//! Other schedulers' languages, recognised by name.
//!
//! Text that looks like cron means different things to different programs: 1 is Monday or Sunday,
//! the seconds are first or last. The engine never guesses. It refuses the text, and the error translates it
//! from the language that it is written in.

mod fields;
mod lookalike;
mod periods;
mod phrases;
mod quartz;
mod rrule;
mod systemd;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::ScheduleError;
use super::json::Fields;
use super::{Schedule, Spread};
use crate::date_fault::date_fault;
use crate::id::{JobId, TenantId};

/// Our own language.
const OURS: &str = "Polychron";
/// The longest text that is examined, in bytes.
const BYTES_MAX: usize = 1024;

/// What a text means in one language.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// Whose language it is, such as `Quartz`.
    pub language: &'static str,
    /// A schedule of ours that means the same.
    pub schedule: Value,
    /// What `schedule` cannot express, or how it differs.
    pub note: Option<String>,
}

impl Reading {
    fn new(language: &'static str, schedule: Value) -> Reading {
        Reading { language, schedule, note: None }
    }

    fn cron(language: &'static str, expression: impl Into<String>) -> Reading {
        Reading::new(language, json!({"cron": expression.into()}))
    }

    fn noting(self, note: &str) -> Reading {
        Reading { note: Some(note.to_owned()), ..self }
    }

    /// The same schedule with another field.
    fn with(mut self, field: &str, value: impl Into<Value>) -> Reading {
        self.schedule[field] = value.into();
        self
    }

    /// The same in these years; `*` for all.
    fn in_years(self, years: &str) -> Reading {
        if years == "*" { self } else { self.with("years", years) }
    }

    /// The same in a zone. Its times become local ones.
    fn in_zone(mut self, zone: &str) -> Reading {
        if self.schedule.get("every").is_some() || self.schedule.get("timezone").is_some() {
            return self;
        }
        for bound in ["start", "end", "at"] {
            if let Some(Value::String(time)) = self.schedule.get_mut(bound) {
                *time = time.trim_end_matches('Z').to_owned();
            }
        }
        self.with("timezone", zone)
    }

    /// The schedule as a user writes it: a bare expression if `cron` is its only field.
    pub fn written(&self) -> String {
        match self.schedule.as_object().map(Map::len) {
            Some(1) if self.schedule["cron"].is_string() => {
                self.schedule["cron"].as_str().unwrap_or_default().to_owned()
            }
            _ => self.schedule.to_string(),
        }
    }
}

/// All possible meanings of a text; the first is that in our own language (`Polychron`), if it is valid
/// there. Each reading's schedule is valid, and no two schedules are the same.
pub fn readings(text: &str) -> Vec<Reading> {
    let (text, zone) = without_zone(text.trim());
    let mut readings = vec![Reading::cron(OURS, text)];
    readings.extend(foreign(text));
    if let Some(zone) = zone {
        readings = readings.into_iter().map(|reading| reading.in_zone(zone)).collect();
        if let Some(own) = readings.first_mut() {
            // We have a field for the zone.
            own.language = "cron with a time zone (fugit, Kubernetes, robfig/cron)";
        }
    }
    distinct(readings)
}

/// The readings in languages other than ours of a text without a zone.
fn foreign(text: &str) -> Vec<Reading> {
    if text.len() > BYTES_MAX {
        return Vec::new();
    }
    let plain = lookalike::replaced(text);
    let retyped = plain.as_ref().map(|(plain, note)| Reading::cron("cron", plain).noting(note));
    let text = plain.as_ref().map_or(text, |(plain, _)| plain);
    let mut readings = Vec::from_iter(retyped);
    readings.extend(quartz::read(text));
    readings.extend(periods::read(text));
    readings.extend(phrases::read(text));
    readings.extend(systemd::read(text));
    readings.extend(rrule::read(text));
    readings
}

/// The readings with a valid schedule, without duplicates.
fn distinct(readings: Vec<Reading>) -> Vec<Reading> {
    let spread = Spread::new(TenantId(uuid::Uuid::nil()), JobId(0));
    let mut distinct: Vec<Reading> = Vec::new();
    for reading in readings {
        let is_new = distinct.iter().all(|known| known.schedule != reading.schedule);
        if is_new && Schedule::parse(&reading.schedule.to_string(), spread).is_ok() {
            distinct.push(reading);
        }
    }
    distinct
}

/// Whether the last field has a number that is too large for a day of the week.
fn ends_in_seconds(text: &str) -> bool {
    let last = text.split_whitespace().next_back().unwrap_or_default();
    let numbers = last.split(|char: char| !char.is_ascii_digit());
    numbers.filter_map(|number| number.parse::<u32>().ok()).any(|number| number > 7)
}

/// Splits off a time zone, which is before the fields (`TZ=` or `CRON_TZ=`) or after them.
fn without_zone(text: &str) -> (&str, Option<&str>) {
    let front = ["CRON_TZ=", "TZ="].into_iter().find_map(|key| text.strip_prefix(key));
    if let Some((zone, rest)) = front.and_then(|rest| rest.split_once(char::is_whitespace)) {
        return (rest.trim(), Some(zone));
    }
    let rules = super::ZoneRules::current();
    match text.rsplit_once(char::is_whitespace) {
        // A calendar event of systemd has its zone after the fields, too.
        Some((rest, zone)) if rules.find(zone).is_some() => (rest.trim(), Some(zone)),
        _ => (text, None),
    }
}

/// The part that does not exist of a date in a text, such as month 13 in `at(2026-13-01T00:00:00)`.
fn fault_of_date(text: &str) -> Option<String> {
    let words = text.split(|char: char| char.is_whitespace() || "()/;=,".contains(char));
    let words = words.map(|word| word.trim_start_matches(|char: char| !char.is_ascii_digit()));
    // Without a year, it may be a range of hours.
    let is_dated =
        |word: &&str| word.len() >= 8 && word.bytes().take(4).all(|byte| byte.is_ascii_digit());
    words.filter(is_dated).find_map(date_fault)
}

/// Explains an error in terms of the language that the faulty field is written in, if it is
/// recognised.
pub(super) fn explain(json: &str, error: ScheduleError) -> ScheduleError {
    let field = error.field();
    if !["cron", "every", "at"].contains(&field) {
        return error;
    }
    let Ok(fields) = Fields::parse(json) else { return error };
    let text = fields.iter().find(|(name, _)| name == field).and_then(|(_, value)| value.as_str());
    let Some(text) = text else { return error };
    let is_date = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    // An instant lacks its time of day then, and is no calendar event.
    if field == "cron" && matches!(text.trim(), "@reboot" | "") || field == "at" && is_date {
        return error;
    }
    let mut readings = readings(text);
    if readings.iter().any(|reading| reading.language == OURS) {
        // The expression is valid; another field is not, or leaves it no day.
        return error;
    }
    readings.retain(|reading| reading.language != quartz::SECONDS_LAST || ends_in_seconds(text));
    let zone =
        fields.iter().find(|(name, _)| name == "timezone").and_then(|(_, zone)| zone.as_str());
    if let Some(zone) = zone {
        let has_times = |reading: &Reading| reading.schedule.as_object().map(Map::len) > Some(1);
        let in_zone = |reading: Reading| match has_times(&reading) {
            true if reading.schedule.get("timezone").is_none() => reading.in_zone(zone),
            _ => reading,
        };
        readings = readings.into_iter().map(in_zone).collect();
    }
    if readings.is_empty()
        && field == "cron"
        && let Some(fault) = fault_of_date(text)
    {
        return error.saying(fault, "write a date that exists".to_owned());
    }
    if readings.is_empty() && text.to_ascii_uppercase().contains("FREQ=") {
        let remedy = r#"write {"rrule":"FREQ=…","start":"2026-01-02T09:00:00"}, with its DTSTART as `start`"#;
        return error.saying("this is an RRULE (RFC 5545)".to_owned(), remedy.to_owned());
    }
    let (languages, remedies): (Vec<&str>, Vec<String>) =
        readings.iter().map(|reading| (reading.language, reading.written())).unzip();
    match (&readings[..], lookalike::replaced(text)) {
        ([], _) => error,
        ([only], None) => {
            let note = only.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            error.saying(
                format!("this is {}", languages[0]),
                format!("write `{}`{note}", remedies[0]),
            )
        }
        ([only, ..], Some((_, note))) => error.saying(note, format!("write `{}`", only.written())),
        _ => {
            let each = languages.iter().zip(&remedies);
            let each: Vec<String> =
                each.map(|(language, remedy)| format!("`{remedy}` for {language}")).collect();
            let message = format!("this can be {}", languages.join(" or "));
            error.saying(message, format!("write {}", each.join(", or ")))
        }
    }
}
