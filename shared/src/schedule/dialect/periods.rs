//! Periods and instants in other languages: `@every`, `rate(…)`, `at(…)`, ISO 8601.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta};

use super::Reading;

const PHASE: &str = "counted from 1970; `from` sets another beginning";

/// All readings of a text that is a period or an instant.
pub(super) fn read(text: &str) -> Vec<Reading> {
    let lower = text.to_ascii_lowercase();
    let found = if let Some(duration) = lower.strip_prefix("@every ") {
        every("@every of Go's cron", go_duration(duration.trim())).map(|found| found.noting(PHASE))
    } else if matches!(lower.as_str(), "@every_minute" | "@every_second") {
        let expression = if lower.ends_with("minute") { "* * * * *" } else { "* * * * * *" };
        Some(Reading::cron("BSD's cron", expression))
    } else if let Some(inside) = call(&lower, "rate") {
        every("EventBridge's rate", worded(inside)).map(|found| found.noting(PHASE))
    } else if let Some(inside) = call(&lower, "at") {
        let local = inside.to_ascii_uppercase().parse::<NaiveDateTime>().ok();
        let written = |at: NaiveDateTime| at.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true);
        local.map(|at| {
            Reading::new("EventBridge's at", serde_json::json!({"at": written(at)}))
                .noting("in UTC, unless EventBridge was given another zone")
        })
    } else if lower.starts_with('p') {
        every("an ISO 8601 duration", iso_duration(text)).map(|found| found.noting(PHASE))
    } else if lower.starts_with('r') && lower.contains('/') {
        repeating(text)
    } else {
        None
    };
    found.into_iter().collect()
}

fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let inside = text.strip_prefix(name)?.trim_start();
    inside.strip_prefix('(')?.strip_suffix(')').map(str::trim)
}

fn every(language: &'static str, seconds: Option<i64>) -> Option<Reading> {
    let schedule = serde_json::json!({"every": duration(seconds?)?});
    Some(Reading::new(language, schedule))
}

/// Whole seconds as a schedule of ours takes them: `1h 30m`.
pub(super) fn duration(seconds: i64) -> Option<String> {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    (seconds > 0).then(|| parts.join(" "))
}

/// `1h30m`, `90s`: numbers and units of Go, whole seconds only.
fn go_duration(text: &str) -> Option<i64> {
    let units = [("h", 3600), ("m", 60), ("s", 1), ("d", 86_400), ("w", 604_800)];
    summed(text, &units)
}

/// `PT1H30M`, `P2D`, `P1W`. Months and years vary in length.
fn iso_duration(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let (date, time) = match upper.strip_prefix('P')?.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (upper.strip_prefix('P')?, ""),
    };
    let date = summed(date, &[("W", 604_800), ("D", 86_400)])?;
    date.checked_add(summed(time, &[("H", 3600), ("M", 60), ("S", 1)])?)
}

/// Numbers, each with a unit after it.
fn summed(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let (mut sum, mut rest) = (0_i64, text);
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, length) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        if rest.starts_with(|char: char| char.is_ascii_alphabetic()) {
            // Such as `ms`.
            return None;
        }
        sum = sum.checked_add(number.checked_mul(*length)?)?;
    }
    Some(sum)
}

/// `5 minutes`.
pub(super) fn worded(text: &str) -> Option<i64> {
    let (number, unit) = text.split_once(char::is_whitespace)?;
    let length = match unit.trim().trim_end_matches('s') {
        "second" | "sec" => 1,
        "minute" | "min" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(length)
}

/// `R/2026-01-01T00:00:00Z/PT15M`, `R5/…`: a repeating interval.
fn repeating(text: &str) -> Option<Reading> {
    let mut parts = text.split('/');
    let (count, start, period) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let count = match count.get(1..)? {
        "" => None,
        count => Some(count.parse::<i32>().ok().filter(|count| *count > 0)?),
    };
    let seconds = iso_duration(period)?;
    let start = DateTime::parse_from_rfc3339(start).ok()?.to_utc();
    let written = |at: DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let reading = every("an ISO 8601 repeating interval", Some(seconds))?;
    let reading = reading.with("from", written(start));
    let Some(count) = count else { return Some(reading) };
    let length = TimeDelta::try_seconds(seconds)?.checked_mul(count - 1)?;
    let end = written(start.checked_add_signed(length)?);
    Some(reading.with("end", end).noting("the number counts the runs"))
}
