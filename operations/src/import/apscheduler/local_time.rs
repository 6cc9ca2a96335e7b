//! Times as Python writes them: with an offset, with a zone's abbreviation, or in a zone that is
//! stated elsewhere.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use shared::clock::Time;
use shared::schedule::ZoneRules;

use crate::input::fault;

/// Reads `2026-12-01 09:00:00`, with `T`, fractions, an offset or an abbreviation, or only a day,
/// which begins at midnight. A local time that occurs twice is the first of the two, as in Python.
pub(super) fn read(text: &str, timezone: &str) -> Result<Time, String> {
    let in_range = |time: DateTime<Utc>| Time::try_from(time).map_err(|error| error.to_string());
    let iso = text.trim().replacen(' ', "T", 1);
    if let Ok(time) = DateTime::parse_from_rfc3339(&iso) {
        return in_range(time.to_utc());
    }
    let (local, abbreviation) = match iso.split_once(' ') {
        Some((local, abbreviation)) => (local, Some(abbreviation)),
        None => (iso.as_str(), None),
    };
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN);
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDate::parse_from_str(local, "%Y-%m-%d").map(midnight))
        .map_err(|_| format!("`{text}` isn't a time such as 2026-12-01 09:00:00{}", fault(text)))?;
    if abbreviation == Some("UTC") {
        return in_range(local.and_utc());
    }
    let zone = ZoneRules::current()
        .find(timezone)
        .ok_or_else(|| format!("`{timezone}` isn't a time zone such as Europe/London"))?;
    let candidates = zone.instants_of(local);
    if candidates.is_empty() {
        return Err(format!("`{text}` was skipped by a change of clocks"));
    }
    let named = |time: &Time| {
        abbreviation.is_none_or(|abbreviation| zone.abbreviation_at(*time) == abbreviation)
    };
    candidates.into_iter().find(named).ok_or_else(|| {
        let abbreviation = abbreviation.unwrap_or_default();
        format!("`{abbreviation}` isn't what {timezone} is called then; say --timezone")
    })
}

/// In the form that a schedule accepts.
pub(super) fn written(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
