//! Calendar intervals, case by case and beside a walk over all dates.

use chrono::{Datelike, NaiveDate, TimeDelta, TimeZone};
use shared::clock::Time;

use super::cases::Draw;
use super::tz::Tz;
use super::{check, read, time, try_read};

#[test]
fn an_interval_keeps_its_local_time_when_clocks_change() {
    let json = r#"{"every":"2w","timezone":"Europe/London","from":"2026-01-02T09:00:00"}"#;
    check(
        json,
        "2026-03-01T00:00:00Z",
        "2026-05-01T00:00:00Z",
        &[
            "2026-03-13T09:00:00Z",
            "2026-03-27T09:00:00Z",
            "2026-04-10T08:00:00Z",
            "2026-04-24T08:00:00Z",
        ],
    );
    let expected = "every 2 weeks on Friday at 09:00, London time, from 2026-01-02";
    assert_eq!(read(json).describe(), expected);
    // Skipped: the first instant after the gap. Repeated: the first pass.
    let json = r#"{"every":"1d","timezone":"America/New_York","from":"2026-01-01T02:30"}"#;
    let around = ["2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
    check(json, "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z", &around);
    let json = r#"{"every":"1d","timezone":"America/New_York","from":"2026-01-01T01:30"}"#;
    let around = ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"];
    check(json, "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z", &around);
}

#[test]
fn a_month_without_the_day_has_no_occurrence() {
    check(
        r#"{"every":"1 month","timezone":"UTC","from":"2026-01-31T00:00:00"}"#,
        "2026-01-01T00:00:00Z",
        "2026-07-01T00:00:00Z",
        &["2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"],
    );
    check(
        r#"{"every":"1y","timezone":"UTC","from":"2024-02-29T00:00:00"}"#,
        "2024-01-01T00:00:00Z",
        "2033-01-01T00:00:00Z",
        &["2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
    );
}

#[test]
fn what_is_no_calendar_interval_is_refused() {
    for (json, says) in [
        (r#"{"every":"36h","timezone":"UTC","from":"2026-01-01T00:00"}"#, "count whole days"),
        (r#"{"every":"0d","timezone":"UTC","from":"2026-01-01T00:00"}"#, "count whole days"),
        (
            r#"{"every":"99999999999 months","timezone":"UTC","from":"2026-01-01T00:00"}"#,
            "count whole",
        ),
        (r#"{"every":"2w","timezone":"UTC"}"#, "from: is missing"),
        (r#"{"every":"2w","timezone":"UTC","from":"soon"}"#, "from: `soon` isn't a time"),
        (r#"{"every":"1d","timezone":"UTC","from":"2026-01-01T00:00","jitter":"1d"}"#, "jitter"),
    ] {
        let error = try_read(json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
}

/// The instants of an interval, by going through all dates one by one.
fn walk(first: NaiveDate, days: Option<i64>, months: i32, hour: u32, zone: Tz) -> Vec<Time> {
    let end = NaiveDate::from_ymd_opt(2040, 1, 1).unwrap();
    let dates = first.iter_days().take_while(|date| *date < end).filter(|date| match days {
        Some(days) => (*date - first).num_days() % days == 0,
        None => {
            let between =
                (date.year() - first.year()) * 12 + date.month0() as i32 - first.month0() as i32;
            date.day() == first.day() && between % months == 0
        }
    });
    let instant = |date: NaiveDate| {
        let mut local = date.and_hms_opt(hour, 30, 0).unwrap();
        // A skipped time becomes the first one that there is.
        loop {
            match zone.from_local_datetime(&local).earliest() {
                Some(found) => return Time::nearest(found.to_utc()),
                None => local += TimeDelta::minutes(1),
            }
        }
    };
    dates.map(instant).collect()
}

#[test]
fn a_walk_over_all_dates_finds_the_same_occurrences() {
    let draw = Draw::seeded(31);
    for _ in 0..super::scaled(150) {
        let zone = draw.zone();
        let first =
            NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + TimeDelta::days(draw.below(3000).into());
        let (number, hour) = (draw.between(1, 20), draw.below(24));
        let (unit, days, months) = match draw.below(4) {
            0 => ("d", Some(i64::from(number)), 0),
            1 => ("w", Some(i64::from(number) * 7), 0),
            2 => (" months", None, number as i32),
            _ => ("y", None, number as i32 * 12),
        };
        let expected = walk(first, days, months, hour, zone);
        let json = format!(
            r#"{{"every":"{number}{unit}","timezone":"{}","from":"{first}T{hour:02}:30:00"}}"#,
            zone.name()
        );
        let schedule = read(&json);
        let end = *expected.last().unwrap();
        let tick = TimeDelta::microseconds(1);
        let following = |before: &Time| schedule.next_after(*before);
        let found: Vec<Time> = std::iter::successors(schedule.next_after(Time::MIN), following)
            .take_while(|time| *time <= end)
            .collect();
        assert_eq!(found, expected, "{json}");
        let preceding = |after: &Time| schedule.prev_before(*after);
        let mut found: Vec<Time> =
            std::iter::successors(schedule.prev_before(end + tick), preceding).collect();
        found.reverse();
        assert_eq!(found, expected, "{json} backwards");
        for _ in 0..5 {
            let at =
                time("2020-01-01T00:00:00Z") + TimeDelta::minutes(draw.below(7_000_000).into());
            let at = if at > end { end } else { at };
            let before = expected.partition_point(|time| *time <= at);
            assert_eq!(schedule.count(Time::MIN, at), before as u64, "{json} until {at}");
            let after = (expected.len() - before) as u64;
            assert_eq!(schedule.count(at, end), after, "{json} after {at}");
        }
    }
}
