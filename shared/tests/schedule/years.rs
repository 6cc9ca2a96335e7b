//! Years, and days counted from Monday to Friday, case by case and beside a walk over all dates.

use chrono::{Datelike, NaiveDate, Weekday};

use super::{check, read, time, try_read};

#[test]
fn years_are_those_of_the_local_time() {
    let json = r#"{"cron":"0 0 1 1 *","timezone":"Asia/Tokyo","years":"2027-2029,2032/34"}"#;
    let expected =
        ["2026-12-31", "2027-12-31", "2028-12-31", "2031-12-31", "2065-12-31", "2099-12-31"];
    let expected: Vec<String> = expected.iter().map(|date| format!("{date}T15:00:00Z")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(json, "1970-01-01T00:00:00Z", "2101-01-01T00:00:00Z", &expected);
    assert_eq!(
        read(json).describe(),
        "at 00:00 on day 1 of the month in January in 2027 to 2029, 2032, 2066 and 2100, Tokyo time"
    );
    for years in ["[2027,2028]", r#"[2027,"2028"]"#, r#""2027 - 2028""#, r#""2027,2028""#] {
        let json = format!(
            r#"{{"cron":"30 12 29-31 12 *","years":{years},"end":"2027-12-31T00:00:00Z"}}"#
        );
        let expected = ["2027-12-29T12:30:00Z", "2027-12-30T12:30:00Z"];
        check(&json, "2000-01-01T00:00:00Z", "2101-01-01T00:00:00Z", &expected);
    }
    let json = r#"{"cron":"0 0 1 1 *","years":2027}"#;
    check(json, "2000-01-01T00:00:00Z", "2101-01-01T00:00:00Z", &["2027-01-01T00:00:00Z"]);
}

#[test]
fn a_year_that_is_none_is_refused() {
    for (years, says) in [
        (r#""next""#, "years: `next` isn't a year; write 2026, 2026-2028"),
        (r#""1969""#, "`1969` is out of range"),
        (r#""2101""#, "`2101` is out of range"),
        (r#""2028-2026""#, "`2028-2026` runs backwards"),
        (r#""2026/0""#, "`2026/0` has an invalid step"),
        (r#""2026,""#, "`` isn't a year"),
        ("[]", "`` isn't a year"),
        ("null", "must be a string or a list of numbers, not null"),
        (r#"{"from":2026}"#, "must be a string or a list of numbers"),
        ("[1e300]", "isn't a year"),
    ] {
        let json = format!(r#"{{"cron":"0 0 1 1 *","years":{years}}}"#);
        let error = try_read(&json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
    let never = r#"{"cron":"0 0 29 2 *","years":"2026,2027"}"#;
    let error = try_read(never).unwrap_err().to_string();
    assert!(error.contains("never matches") && error.contains("and its `years`"), "{error}");
    let other = try_read(r#"{"every":"1h","years":"2026"}"#).unwrap_err().to_string();
    assert!(other.contains("years: can't be used with `every`"), "{other}");
}

/// The days of a month from Monday to Friday.
fn weekdays(year: i32, month: u32) -> Vec<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
    let dates = first.iter_days().take_while(|date| date.month() == month);
    dates.filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)).collect()
}

#[test]
fn weekdays_of_a_month_are_counted_from_both_ends() {
    let until = time("2066-01-01T00:00:00Z");
    for nth in 1..=23usize {
        for from_end in [false, true] {
            let text = match (from_end, nth) {
                (false, _) => format!("W#{nth}"),
                (true, 1) => "LW".to_owned(),
                (true, _) => format!("lw-{}", nth - 1),
            };
            let mut found = Vec::new();
            let schedule = read(&format!(r#"{{"cron":"0 0 {text} * *"}}"#));
            let mut next = schedule.next_after(time("2025-12-31T00:00:00Z"));
            while let Some(at) = next.filter(|at| *at < until) {
                found.push(at.date_naive());
                next = schedule.next_after(at);
            }
            let months =
                (2026..2066).flat_map(|year| (1..=12).map(move |month| weekdays(year, month)));
            let expected: Vec<NaiveDate> = months
                .filter_map(|days| {
                    let index = if from_end { days.len().checked_sub(nth) } else { Some(nth - 1) };
                    days.get(index?).copied()
                })
                .collect();
            assert_eq!(found, expected, "{text}");
            let tick = chrono::TimeDelta::microseconds(1);
            let count = schedule.count(time("2025-12-31T00:00:00Z"), until - tick);
            assert_eq!(count, expected.len() as u64, "{text}");
        }
    }
}

#[test]
fn the_weekday_nearest_to_a_day_before_the_last_stays_in_the_month() {
    // The nearest weekday is at most two days away; on a tie, Saturday goes back and Sunday forth.
    for before in 0..=30u32 {
        let schedule = read(&format!(r#"{{"cron":"0 0 L-{before}W * *"}}"#));
        for (year, month) in (2026..2036).flat_map(|year| (1..=12).map(move |month| (year, month)))
        {
            let days = weekdays(year, month);
            let length = u32::from(days[0].num_days_in_month());
            let first = days[0].with_day(1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc();
            let found =
                schedule.next_after(time(&(first - chrono::TimeDelta::seconds(1)).to_rfc3339()));
            let expected = length.checked_sub(before).filter(|day| *day > 0).map(|wanted| {
                let distance = |date: &&NaiveDate| date.day().abs_diff(wanted);
                **days.iter().min_by_key(distance).as_ref().unwrap()
            });
            let found = found
                .map(|at| at.date_naive())
                .filter(|date| date.month() == month && date.year() == year);
            assert_eq!(found, expected, "L-{before}W in {year}-{month}");
        }
    }
}

#[test]
fn a_weekday_that_no_month_has_is_refused() {
    for (day, says) in [
        ("W#0", "no month has a weekday #0; write W#1 to W#23"),
        ("W#24", "no month has a weekday #24"),
        ("W#", "lacks a number"),
        ("W#x", "`x` isn't a number"),
        ("LW-23", "no month has a weekday 23 weekdays before its last; write LW-1"),
        ("LW-", "lacks a number"),
        ("L-31W", "no month has a day 31 days before its last"),
    ] {
        let error = try_read(&format!(r#"{{"cron":"0 0 {day} * *"}}"#)).unwrap_err().to_string();
        assert!(error.contains(says), "{day}: {error}");
    }
    let words = read(r#"{"cron":"0 0 W#1,W#3,LW-1,LW-2,L-3W * *"}"#).describe();
    assert_eq!(
        words,
        "at 00:00 on the 1st weekday, the 3rd weekday, the weekday before the last, the 2nd weekday before \
         the last and the weekday nearest to the 3rd day before the last of the month, UTC"
    );
}
