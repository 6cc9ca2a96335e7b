//! Parses the JSON text of `job.schedule` and its fields.

use std::fmt;

use chrono::format::ParseErrorKind;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::error::{ScheduleError, did_you_mean, shown};
use super::zone::Zone;
use super::zone_alias;
use super::zone_rules::ZoneRules;
use crate::clock::Time;
use crate::date_fault::date_fault;

/// The longest valid text, in bytes.
const BYTES_MAX: usize = 4096;
/// The longest valid duration, in seconds: a hundred years.
const SECONDS_MAX: u64 = 36_525 * 86_400;

/// The forms of a schedule. Each is the name of the field that it must have.
pub(super) const FORMS: [&str; 5] = ["cron", "every", "at", "rrule", "any"];
/// The most schedules in `any`.
const MEMBERS_MAX: usize = 20;

/// The fields, and the forms of schedule that may have them.
const FIELDS: [(&str, &[&str]); 14] = [
    ("cron", &["cron"]),
    ("timezone", &["cron", "every", "at", "rrule", "any"]),
    ("years", &["cron"]),
    ("gap", &["cron"]),
    ("fold", &["cron"]),
    ("every", &["every"]),
    ("from", &["every"]),
    ("at", &["at"]),
    ("rrule", &["rrule"]),
    ("any", &["any"]),
    ("jitter", &["cron", "every", "rrule", "any"]),
    ("start", &["cron", "every", "at", "rrule", "any"]),
    ("end", &["cron", "every", "at", "rrule", "any"]),
    ("except", &["cron", "every", "rrule", "any"]),
];

/// The fields of one schedule. Each is known, given once and valid for the schedule's form.
pub(super) struct Fields {
    named: Vec<(String, Value)>,
    /// The schedules in `any`.
    members: Vec<Fields>,
}

impl Fields {
    pub(super) fn read(json: &str) -> Result<Fields, ScheduleError> {
        let mut fields = Fields { named: Fields::parse(json)?, members: Vec::new() };
        fields.check()?;
        if fields.get("any").is_some() {
            fields.members = fields.read_members(json)?;
        }
        Ok(fields)
    }

    /// The schedules in `any`. Those with local times are in the zone of the whole, unless they
    /// name one.
    fn read_members(&self, json: &str) -> Result<Vec<Fields>, ScheduleError> {
        #[derive(Deserialize)]
        struct Members {
            any: Vec<Object>,
        }
        let error = |message: String| {
            let remedy = r#"write a list such as [{"cron":"30 8 * * *"},{"cron":"0 12 * * *"}]"#;
            ScheduleError::new("any", message).remedy(remedy)
        };
        let members = serde_json::from_str(json).map(|Members { any }| any);
        let members = members.map_err(|_| error("must be a list of schedules".to_owned()))?;
        match members.len() {
            0 => return Err(error("has no schedule".to_owned())),
            1..=MEMBERS_MAX => {}
            more => return Err(error(format!("has {more} schedules, more than {MEMBERS_MAX}"))),
        }
        self.zone("timezone")?;
        let read = |(index, Object(named)): (usize, Object)| {
            self.read_member(named).map_err(|error| error.within(index))
        };
        members.into_iter().enumerate().map(read).collect()
    }

    fn read_member(&self, named: Vec<(String, Value)>) -> Result<Fields, ScheduleError> {
        check_names(&named)?;
        let mut member = Fields { named, members: Vec::new() };
        if member.get("any").is_some() {
            let error = invalid("can't contain another `any`");
            return Err(error.remedy("list all schedules in one `any`"));
        }
        member.check()?;
        // With `every`, a time zone would turn a period into a calendar interval.
        if member.get("timezone").is_none()
            && member.get("every").is_none()
            && let Some(zone) = self.get("timezone")
        {
            member.named.push(("timezone".to_owned(), zone.clone()));
        }
        Ok(member)
    }

    /// The schedules in `any`; empty for another form.
    pub(super) fn members(&self) -> &[Fields] {
        &self.members
    }

    /// The fields as JSON text, without the schedules in `any`.
    pub(super) fn to_json(&self) -> String {
        Value::Object(self.named.iter().cloned().collect()).to_string()
    }

    /// The fields of a JSON object, all known and none given twice.
    pub(super) fn parse(json: &str) -> Result<Vec<(String, Value)>, ScheduleError> {
        if json.len() > BYTES_MAX {
            let message = format!("its text has {} bytes, more than {BYTES_MAX}", json.len());
            return Err(invalid(message));
        }
        let fields = serde_json::from_str(json).map(|Object(fields)| fields);
        let fields = fields.map_err(|error| {
            let remedy = r#"write an object such as {"cron":"0 2 * * *"}"#;
            invalid(format!("cannot be parsed: {}", shown(&error.to_string()))).remedy(remedy)
        })?;
        check_names(&fields)?;
        Ok(fields)
    }

    fn check(&self) -> Result<(), ScheduleError> {
        let forms = FORMS.into_iter().filter(|form| self.get(form).is_some());
        let forms: Vec<&str> = forms.collect();
        let [form] = forms[..] else {
            let message = match forms[..] {
                [] => format!("has none of {}", listed(&FORMS, "and")),
                _ => format!("has both `{}` and `{}`", forms[0], forms[1]),
            };
            let remedy = format!("give exactly one of {}", listed(&FORMS, "and"));
            return Err(invalid(message).remedy(remedy));
        };
        for (name, valid_with) in FIELDS {
            if self.get(name).is_some() && !valid_with.contains(&form) {
                let remedy = format!("leave it out, or use {}", listed(valid_with, "or"));
                let message = format!("can't be used with `{form}`");
                return Err(ScheduleError::new(name, message).remedy(remedy));
            }
        }
        Ok(())
    }

    /// A field that is a string; none if it is missing, as in the methods below.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, ScheduleError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                let message = format!("must be a string, not {}", kind(other));
                let error = ScheduleError::new(name, message);
                Err(match other {
                    Value::Number(number) if name == "every" || name == "jitter" => {
                        error.remedy(format!("write \"{number}s\" for seconds"))
                    }
                    Value::Null => error.remedy("leave the field out"),
                    _ => error,
                })
            }
        }
    }

    /// A field that is a list of strings, or a single one; empty if it is missing.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<&str>, ScheduleError> {
        let error = || ScheduleError::new(name, "must be a list of strings");
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(error)).collect()
            }
            Some(_) => Err(error()),
        }
    }

    /// A field that is a list as in cron, such as `2026-2028,2030`, or a JSON list of such items or of
    /// numbers.
    pub(super) fn list(&self, name: &'static str) -> Result<Option<String>, ScheduleError> {
        let item = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => {
                let message = format!("must be a string or a list of numbers, not {}", kind(other));
                Err(ScheduleError::new(name, message))
            }
        };
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let items = items.iter().map(item).collect::<Result<Vec<String>, ScheduleError>>();
                Ok(Some(items?.join(",")))
            }
            Some(value) => item(value).map(Some),
        }
    }

    /// Whether the field is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// An instant.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<Time>, ScheduleError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match local_time(text) {
            Some(local) => self.local(name, local).map(Some),
            None => read_time(name, text).map(Some),
        }
    }

    /// The instant at which local clocks in the schedule's zone show a time. One that is repeated is
    /// the first pass, but the second one for an `end`; one that is skipped is the first instant
    /// after the gap.
    fn local(&self, name: &'static str, local: NaiveDateTime) -> Result<Time, ScheduleError> {
        let Some(zone) = self.zone("timezone")? else {
            let error = ScheduleError::new(name, "is a local time without a zone");
            return Err(error.remedy("add Z, an offset such as +01:00, or a field `timezone`"));
        };
        let instants = zone.instants_of(local);
        let instant = if name == "end" { instants.last() } else { instants.first() };
        let instant = instant.copied().or_else(|| zone.instant_after_gap(local));
        instant.filter(in_bounds).ok_or_else(|| out_of_bounds(name, &local.to_string()))
    }

    /// A time as local clocks in a zone show it.
    pub(super) fn local_time(
        &self,
        name: &'static str,
        zone: &Zone,
    ) -> Result<Option<NaiveDateTime>, ScheduleError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let local = match local_time(text) {
            Some(local) => local,
            None => {
                let time = read_time(name, text)?;
                let offset = TimeDelta::seconds(zone.offset_at(time));
                time.naive_utc().checked_add_signed(offset).unwrap_or_default()
            }
        };
        let is_in_bounds = (1970..=2100).contains(&local.year());
        if is_in_bounds { Ok(Some(local)) } else { Err(out_of_bounds(name, text)) }
    }

    /// A duration in whole seconds, at least one.
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<i64>, ScheduleError> {
        self.text(name)?.map(|text| read_seconds(name, text)).transpose()
    }

    /// A time zone.
    pub(super) fn zone(&self, name: &'static str) -> Result<Option<Zone>, ScheduleError> {
        self.text(name)?.map(|text| read_zone(name, text)).transpose()
    }

    /// A value of a `string_enum!`.
    pub(super) fn variant<W>(&self, name: &'static str) -> Result<Option<W>, ScheduleError>
    where
        W: std::str::FromStr<Err = crate::string_enum::UnknownVariant>,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let variant =
            text.parse().map_err(|error: W::Err| ScheduleError::new(name, error.to_string()));
        variant.map(Some)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// Checks that each field is known and given once.
fn check_names(fields: &[(String, Value)]) -> Result<(), ScheduleError> {
    for (index, (name, _)) in fields.iter().enumerate() {
        if !FIELDS.iter().any(|(known, _)| known == name) {
            let known = FIELDS.map(|(known, _)| known);
            let remedy = did_you_mean(name, known)
                .unwrap_or_else(|| format!("use one of {}", known.join(", ")));
            return Err(invalid(format!("unknown field `{}`", shown(name))).remedy(remedy));
        }
        if fields[..index].iter().any(|(before, _)| before == name) {
            return Err(invalid(format!("`{name}` is given twice")));
        }
    }
    Ok(())
}

/// Whether a schedule of this form may have the field.
pub(super) fn is_valid_with(name: &str, form: &str) -> bool {
    FIELDS.iter().any(|(known, forms)| *known == name && forms.contains(&form))
}

/// "`a`, `b` and `c`".
fn listed(names: &[&str], last: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [first @ .., end] if !first.is_empty() => format!("{} {last} {end}", first.join(", ")),
        names => names.concat(),
    }
}

fn invalid(message: impl Into<String>) -> ScheduleError {
    ScheduleError::new("schedule", message)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn read_time(name: &'static str, text: &str) -> Result<Time, ScheduleError> {
    let example = "write it as 2026-12-01T09:00:00Z or with an offset such as +01:00";
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| {
        let reason = date_fault(text).unwrap_or_else(|| match error.kind() {
            ParseErrorKind::TooShort if is_date(text) => "it has no time of day".to_owned(),
            ParseErrorKind::TooShort => "it is incomplete".to_owned(),
            _ => error.to_string(),
        });
        ScheduleError::new(name, format!("`{}` isn't a time ({reason})", shown(text)))
            .remedy(example)
    })?;
    // Converting through microseconds also turns a leap second into the following second.
    let time = Time::from_timestamp_micros(time.timestamp_micros()).filter(in_bounds);
    time.ok_or_else(|| out_of_bounds(name, text))
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// The instants of a time with an offset, or at which clocks in `zone` show a local time. One that they
/// skip is the first instant after the gap.
pub(super) fn instants(
    name: &'static str,
    text: &str,
    zone: &Zone,
) -> Result<Vec<Time>, ScheduleError> {
    let Some(local) = local_time(text) else { return Ok(vec![read_time(name, text)?]) };
    let mut instants = zone.instants_of(local);
    if instants.is_empty() {
        instants.extend(zone.instant_after_gap(local));
    }
    if instants.iter().all(in_bounds) { Ok(instants) } else { Err(out_of_bounds(name, text)) }
}

/// A time without an offset, to the minute or finer.
fn local_time(text: &str) -> Option<NaiveDateTime> {
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

fn in_bounds(time: &Time) -> bool {
    (1970..=2100).contains(&time.year())
}

fn out_of_bounds(name: &'static str, text: &str) -> ScheduleError {
    let message = format!("`{}` is outside the years 1970 to 2100", shown(text));
    ScheduleError::new(name, message)
}

fn read_seconds(name: &'static str, text: &str) -> Result<i64, ScheduleError> {
    let error = |message: String| {
        let remedy = "write a number and a unit: 30s, 15m, 1h 30m, 2d, 1w";
        ScheduleError::new(name, message).remedy(remedy)
    };
    if text.split(|char: char| !char.is_alphabetic()).any(varies_in_length) {
        let message = format!("`{}` has months or years, which vary in length", shown(text));
        return Err(ScheduleError::new(name, message)
            .remedy("use `cron` for those, or add a `timezone` and `from`"));
    }
    let duration = humantime::parse_duration(text)
        .map_err(|_| error(format!("`{}` isn't a duration", shown(text))))?;
    if duration.subsec_nanos() != 0 {
        return Err(error(format!("`{}` isn't a whole number of seconds", shown(text))));
    }
    match duration.as_secs() {
        0 => Err(error(format!("`{}` is less than a second", shown(text)))),
        seconds @ ..=SECONDS_MAX => Ok(seconds as i64),
        _ => Err(error(format!("`{}` is longer than a hundred years", shown(text)))),
    }
}

/// Whether this is a unit that `humantime` reads as an average month or year.
fn varies_in_length(unit: &str) -> bool {
    ["M", "month", "months", "y", "yr", "yrs", "year", "years"].contains(&unit)
}

fn read_zone(name: &'static str, text: &str) -> Result<Zone, ScheduleError> {
    let rules = ZoneRules::current();
    rules.find(text).ok_or_else(|| {
        let remedy = zone_alias::remedy(text, &rules)
            .or_else(|| did_you_mean(text, rules.names()))
            .unwrap_or_else(|| "write an IANA name such as Europe/London, or UTC".to_owned());
        ScheduleError::new(name, format!("`{}` isn't a time zone", shown(text))).remedy(remedy)
    })
}

/// A JSON object with its fields as written, including duplicates.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Object(fields))
    }
}
