//! Says which part of a date or time does not exist, for messages about input that cannot be read.

use chrono::{Datelike, Month, NaiveDate};

/// The part that does not exist of a text in the form of a date or time, such as "month 13 does not exist"
/// for `2026-13-01`. Known are RFC 3339, local times, dates with and without a year, and the digits of
/// calendars (`20261301T090000Z`). None: each part exists, or the text has another form.
pub fn date_fault(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let year = digits(&mut rest, 4);
    let is_dashed = year.is_none() || skip(&mut rest, &['-']);
    let month = digits(&mut rest, 2)?;
    if is_dashed && !skip(&mut rest, &['-']) {
        return None;
    }
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) {
        return Some(format!("month {month} does not exist"));
    }
    if !(1..=31).contains(&day) {
        return Some(format!("day {day} does not exist"));
    }
    // Without a year, a date exists if it does in leap years.
    let first = NaiveDate::from_ymd_opt(year.unwrap_or(2024).cast_signed(), month, 1)?;
    if day > u32::from(first.num_days_in_month()) {
        let name = Month::try_from(u8::try_from(month).ok()?).ok()?.name();
        let of_year = year.map(|year| format!(" {year}")).unwrap_or_default();
        return Some(format!("{name}{of_year} has no day {day}"));
    }
    if !skip(&mut rest, &['T', 't', ' ']) {
        return None;
    }
    time_fault(rest)
}

/// The same for a time of day, with or without an offset.
fn time_fault(mut rest: &str) -> Option<String> {
    let mut parts = vec![("hour", digits(&mut rest, 2)?, 23)];
    for (name, most) in [("minute", 59), ("second", 60)] {
        skip(&mut rest, &[':']);
        let Some(value) = digits(&mut rest, 2) else { break };
        parts.push((name, value, most));
    }
    let fault = parts.into_iter().find(|(_, value, most)| value > most);
    if let Some((name, value, _)) = fault {
        return Some(format!("{name} {value} does not exist"));
    }
    if skip(&mut rest, &['.']) {
        rest = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    let offset = rest;
    if !skip(&mut rest, &['+', '-']) {
        return None;
    }
    let hours = digits(&mut rest, 2)?;
    skip(&mut rest, &[':']);
    let minutes = digits(&mut rest, 2).unwrap_or(0);
    (hours > 23 || minutes > 59).then(|| format!("the offset {offset:.6} does not exist"))
}

/// Takes this many digits.
fn digits(rest: &mut &str, count: usize) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(count)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    *rest = after;
    digits.parse().ok()
}

/// Takes one of these characters, if it is next.
fn skip(rest: &mut &str, chars: &[char]) -> bool {
    let after = rest.strip_prefix(chars);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_does_not_exist_is_named() {
        for (text, fault) in [
            ("2026-13-01", "month 13 does not exist"),
            ("2026-00-01", "month 0 does not exist"),
            ("2026-12-32", "day 32 does not exist"),
            ("2026-12-00T09:00:00", "day 0 does not exist"),
            ("2026-04-31", "April 2026 has no day 31"),
            ("2026-02-29T09:00:00Z", "February 2026 has no day 29"),
            ("1900-02-29", "February 1900 has no day 29"),
            ("02-30", "February has no day 30"),
            ("13-01", "month 13 does not exist"),
            ("20261301T090000Z", "month 13 does not exist"),
            ("20260431", "April 2026 has no day 31"),
            ("2026-12-01T24:00:00Z", "hour 24 does not exist"),
            ("2026-12-01 25:00", "hour 25 does not exist"),
            ("2026-12-01t09:60", "minute 60 does not exist"),
            ("20261201T096100", "minute 61 does not exist"),
            ("2026-12-01T09:00:61.5+01:00", "second 61 does not exist"),
            ("2026-12-01T09:00:00.123+25:00", "the offset +25:00 does not exist"),
            ("2026-12-01T09:00:00-0160", "the offset -0160 does not exist"),
        ] {
            assert_eq!(date_fault(text).as_deref(), Some(fault), "{text}");
        }
    }

    #[test]
    fn what_exists_or_has_another_form_has_no_fault() {
        for text in [
            "",
            "soon",
            "2026",
            "2026-1-5",
            "2024-02-29",
            "02-29",
            "20260228",
            "2026-12-01T09",
            "2026-12-01T23:59:60Z",
            "2026-12-01 09:00:00.5-23:59",
            "1301",
            "12:30",
            "2027-2029",
            "ä026-13-01",
            "2026-12-01X25:00",
            "2026-12-01T09:00:00+ä",
            "٢٠٢٦-13-01",
        ] {
            assert_eq!(date_fault(text), None, "{text}");
        }
    }
}
