//! Recurrence rules of calendars (RFC 5545): as cron expressions as far as possible, and as `rrule` with
//! the dates of a calendar's entry otherwise.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, Timelike};
use serde_json::{Value, json};

use super::Reading;
use super::fields::{WEEKDAYS, values, written};

const LANGUAGE: &str = "an RRULE (RFC 5545)";
/// From Sunday on.
const DAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// All readings of a rule, with or without `RRULE:` and a `DTSTART` before it.
pub(super) fn read(text: &str) -> Vec<Reading> {
    if !text.to_ascii_uppercase().contains("FREQ=") {
        return Vec::new();
    }
    let plain = rule(&text.to_ascii_uppercase());
    plain.or_else(|| entry(text)).into_iter().collect()
}

/// The lines of a calendar's entry: `DTSTART`, `RRULE`, `EXDATE` and `RDATE`, with their zone.
fn entry(text: &str) -> Option<Reading> {
    let unfolded = text.replace("\r\n ", "").replace("\n ", "");
    let (mut schedule, mut zone) = (json!({}), None);
    let (mut except, mut more) = (Vec::new(), Vec::new());
    for line in unfolded.split_whitespace() {
        let (head, value) = line.rsplit_once(':').unwrap_or(("RRULE", line));
        let mut head = head.split(';');
        let name = head.next()?.to_ascii_uppercase();
        if let Some(named) = head.find_map(|parameter| parameter.strip_prefix("TZID=")) {
            zone = Some(named.to_owned());
        }
        match name.as_str() {
            "RRULE" => schedule["rrule"] = value.into(),
            "DTSTART" => {
                zone = zone.or_else(|| value.ends_with('Z').then(|| "UTC".to_owned()));
                schedule["start"] = written_time(value, true)?.into();
            }
            "EXDATE" => {
                for date in value.split(',') {
                    except.push(Value::from(written_time(date, false)?));
                }
            }
            "RDATE" => {
                for date in value.split(',') {
                    more.push(json!({"at": written_time(date, true)?}));
                }
            }
            _ => return None,
        }
    }
    schedule.get("start")?;
    if !more.is_empty() {
        more.insert(0, schedule);
        schedule = json!({"any": more});
    }
    if !except.is_empty() {
        schedule["except"] = except.into();
    }
    let reading = Reading::new(LANGUAGE, schedule);
    Some(match zone {
        Some(zone) => reading.with("timezone", zone),
        None => reading,
    })
}

/// `20260102T090000Z` as `2026-01-02T09:00:00Z`; a date as a date, or as its beginning.
fn written_time(text: &str, is_time: bool) -> Option<String> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y%m%d") {
        let format = if is_time { "%Y-%m-%dT00:00:00" } else { "%Y-%m-%d" };
        return Some(date.format(format).to_string());
    }
    let (time, zone) = match text.strip_suffix('Z') {
        Some(time) => (time, "Z"),
        None => (text, ""),
    };
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S").ok()?;
    Some(format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S")))
}

fn rule(text: &str) -> Option<Reading> {
    let (head, rule) = match text.rsplit_once("RRULE:") {
        Some((head, rule)) => (head.trim(), rule.trim()),
        None => ("", text.trim()),
    };
    let start = head.strip_prefix("DTSTART").and_then(|start| start.rsplit_once(':'));
    let start = match start {
        Some((_, start)) => {
            let start = start.trim_end_matches('Z');
            Some(NaiveDateTime::parse_from_str(start, "%Y%m%dT%H%M%S").ok()?)
        }
        None => None,
    };
    let mut parts: BTreeMap<&str, &str> = BTreeMap::new();
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        parts.insert(name, value);
    }
    let known = [
        "FREQ",
        "INTERVAL",
        "BYDAY",
        "BYMONTHDAY",
        "BYMONTH",
        "BYHOUR",
        "BYMINUTE",
        "BYSECOND",
        "WKST",
    ];
    if parts.keys().any(|name| !known.contains(name))
        || *parts.get("INTERVAL").unwrap_or(&"1") != "1"
    {
        return None;
    }
    let frequency = *parts.get("FREQ")?;
    let rank = ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
        .iter()
        .position(|name| *name == frequency)?;
    // A field that the rule does not name is the start's if it is finer than the frequency.
    let field = |name: &str, bounds, finer_than: usize, of_start: Option<u32>| {
        Some(match parts.get(name) {
            Some(text) => written(&values(text, bounds, &[], "-")?, bounds, &[]),
            None if rank >= finer_than => of_start?.to_string(),
            None => "*".to_owned(),
        })
    };
    let second = match field("BYSECOND", (0, 59), 1, start.map(|start| start.second())) {
        Some(second) => second,
        None if start.is_none() => "0".to_owned(),
        None => return None,
    };
    let minute = field("BYMINUTE", (0, 59), 2, start.map(|start| start.minute()))?;
    let hour = field("BYHOUR", (0, 23), 3, start.map(|start| start.hour()))?;
    let (day, month, weekday) = days(&parts, rank)?;
    let mut fields = vec![minute, hour, day, month, weekday];
    if second != "0" {
        fields.insert(0, second);
    }
    Some(Reading::cron(LANGUAGE, fields.join(" ")))
}

fn days(parts: &BTreeMap<&str, &str>, rank: usize) -> Option<(String, String, String)> {
    let month = match parts.get("BYMONTH") {
        Some(text) => written(&values(text, (1, 12), &[], "-")?, (1, 12), &[]),
        None if rank == 6 => return None,
        None => "*".to_owned(),
    };
    match (parts.get("BYMONTHDAY"), parts.get("BYDAY")) {
        (None, None) if rank < 4 => Some(("*".to_owned(), month, "*".to_owned())),
        (Some(days), None) => {
            let each = days.split(',').map(|day| match day.parse::<i32>().ok()? {
                -1 => Some("L".to_owned()),
                before @ -31..=-2 => Some(format!("L-{}", -before - 1)),
                day @ 1..=31 => Some(day.to_string()),
                _ => None,
            });
            Some((each.collect::<Option<Vec<_>>>()?.join(","), month, "*".to_owned()))
        }
        (None, Some(days)) => {
            let each = days.split(',').map(|day| {
                let (nth, name) = day.split_at_checked(day.len().checked_sub(2)?)?;
                let at = DAYS.iter().position(|known| *known == name)?;
                match (nth.trim_start_matches('+'), rank) {
                    ("", _) => Some(WEEKDAYS[at].to_owned()),
                    ("-1", 5) => Some(format!("{at}L")),
                    (nth, 5) => {
                        nth.parse::<u32>().ok().map(|nth| format!("{}#{nth}", WEEKDAYS[at]))
                    }
                    _ => None,
                }
            });
            Some(("*".to_owned(), month, each.collect::<Option<Vec<_>>>()?.join(",")))
        }
        _ => None,
    }
}
