//! Recurrence rules (`rrule`), case by case; `oracles_calendar` compares them with python-dateutil.

use chrono::{MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone};
use shared::clock::Time;

use super::cases::Draw;
use super::{check, read, scaled, time, try_read};

/// The first local times of a rule in UTC.
fn first(rule: &str, start: &str, n: usize) -> Vec<String> {
    let json = format!(r#"{{"rrule":"{rule}","start":"{start}"}}"#);
    let times = read(&json).occurrences_explained(time("1970-01-01T00:00:00Z"), n);
    times.iter().map(|one| one.at.format("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn rules_that_calendars_export_are_expanded() {
    for (rule, start, expected) in [
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
            "2026-01-02T09:00:00",
            &["2026-01-02 09:00", "2026-01-12 09:00", "2026-01-16 09:00", "2026-01-26 09:00"][..],
        ),
        // The week begins on Sunday, so that the 2nd and the 4th are in different weeks.
        (
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=SU,FR",
            "2026-01-02T09:00:00",
            &["2026-01-02 09:00", "2026-01-11 09:00", "2026-01-16 09:00", "2026-01-25 09:00"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR;COUNT=2",
            "2026-01-02T09:00:00",
            &["2026-01-30 09:00", "2026-02-27 09:00"],
        ),
        ("FREQ=MONTHLY", "2026-01-31T09:00:00", &["2026-01-31 09:00", "2026-03-31 09:00"]),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1,1",
            "2026-01-02T09:00:00",
            &["2026-01-30 09:00", "2026-02-02 09:00", "2026-02-27 09:00"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "2026-01-02T09:00:00",
            &["2026-02-13 09:00", "2026-03-13 09:00", "2026-11-13 09:00"],
        ),
        ("FREQ=YEARLY", "2024-02-29T09:00:00", &["2024-02-29 09:00", "2028-02-29 09:00"]),
        (
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            "2026-01-02T09:00:00",
            &["2026-11-26 09:00", "2027-11-25 09:00"],
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO",
            "2026-01-02T09:00:00",
            &["2026-05-18 09:00", "2027-05-17 09:00"],
        ),
        (
            "FREQ=YEARLY;BYDAY=-1SU",
            "2026-01-02T09:00:00",
            &["2026-12-27 09:00", "2027-12-26 09:00"],
        ),
        (
            "rrule:freq=daily;byhour=9,17;byminute=0,30;until=20260103t173000",
            "2026-01-02T12:00:00",
            &[
                "2026-01-02 17:00",
                "2026-01-02 17:30",
                "2026-01-03 09:00",
                "2026-01-03 09:30",
                "2026-01-03 17:00",
                "2026-01-03 17:30",
            ],
        ),
        (
            "FREQ=DAILY;UNTIL=20260103",
            "2026-01-02T12:00:00",
            &["2026-01-02 12:00", "2026-01-03 12:00"],
        ),
        ("FREQ=DAILY;UNTIL=20260103T115959Z", "2026-01-02T12:00:00", &["2026-01-02 12:00"]),
        // The start is an occurrence only if the rule names it, and counts only then.
        ("FREQ=DAILY;BYDAY=MO;COUNT=1", "2026-01-02T12:00:00", &["2026-01-05 12:00"]),
    ] {
        let found = first(rule, start, expected.len() + 1);
        let ends = rule.to_ascii_uppercase().contains("COUNT")
            || rule.to_ascii_uppercase().contains("UNTIL");
        assert_eq!(&found[..expected.len()], expected, "{rule}");
        assert_eq!(found.len() == expected.len(), ends, "{rule}: {found:?}");
    }
}

#[test]
fn a_rule_keeps_its_local_time_when_clocks_change() {
    let json = |rule: &str, start: &str| {
        format!(r#"{{"rrule":"{rule}","start":"{start}","timezone":"America/New_York"}}"#)
    };
    let daily = json("FREQ=DAILY", "2026-01-01T02:30:00");
    let around = ["2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
    check(&daily, "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z", &around);
    let explained = read(&daily).occurrences_explained(time("2026-03-08T00:00:00Z"), 1);
    assert!(
        explained[0].change.unwrap().to_string().contains("moved: clocks skip 2026-03-08 02:30")
    );
    let daily = json("FREQ=DAILY", "2026-01-01T01:30:00");
    let around = ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"];
    check(&daily, "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z", &around);
    // Several times in one gap are one occurrence.
    let hours = json("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,20,40", "2026-01-01T00:00:00");
    let around = ["2026-03-08T07:00:00Z", "2026-03-08T07:20:00Z", "2026-03-08T07:40:00Z"];
    check(&hours, "2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z", &around);
    // An end in UTC is an instant; a local one is the last pass.
    let until = json("FREQ=DAILY;UNTIL=20261101T053000Z", "2026-10-31T01:30:00");
    let both = ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z"];
    check(&until, "2026-10-30T00:00:00Z", "2026-11-30T00:00:00Z", &both);
}

#[test]
fn start_may_have_an_offset_and_exceptions_and_other_times_are_possible() {
    check(
        r#"{"any":[{"rrule":"FREQ=DAILY","start":"2026-01-01T08:00:00Z","except":["2026-01-03T09:00:00"]},
                   {"at":"2026-01-04T20:00:00"}],
            "timezone":"Europe/Berlin","end":"2026-01-05T00:00:00"}"#,
        "2026-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
        &[
            "2026-01-01T08:00:00Z",
            "2026-01-02T08:00:00Z",
            "2026-01-04T08:00:00Z",
            "2026-01-04T19:00:00Z",
        ],
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (rule, says) in [
        ("", "rrule: has no FREQ; write FREQ=DAILY"),
        ("INTERVAL=2", "has no FREQ"),
        ("FREQ=HOURLY;INTERVAL=2", "FREQ HOURLY isn't supported; use `cron`, or `every`"),
        ("FREQ=SECONDLY", "FREQ SECONDLY isn't supported"),
        ("FREQ=FORTNIGHTLY", "FREQ `FORTNIGHTLY` is unknown"),
        ("FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO isn't supported; use BYMONTH"),
        ("FREQ=YEARLY;BYYEARDAY=100", "BYYEARDAY isn't supported"),
        ("FREQ=YEARLY;BYMONHT=1", "`BYMONHT` is unknown; did you mean `BYMONTH`?"),
        ("FREQ=DAILY;FREQ=WEEKLY", "FREQ is given twice"),
        ("FREQ=DAILY;SOON", "`SOON` isn't a part such as FREQ=WEEKLY"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL 0 is outside 1–10000"),
        ("FREQ=DAILY;INTERVAL=1,2", "INTERVAL takes a single number"),
        ("FREQ=DAILY;COUNT=10001", "COUNT 10001 is outside 1–10000"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "isn't a number"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260103", "COUNT can't be used with UNTIL"),
        ("FREQ=DAILY;UNTIL=soon", "UNTIL `soon` isn't a time; write 20271231"),
        ("FREQ=DAILY;UNTIL=20260103Z", "isn't a time"),
        ("FREQ=DAILY;UNTIL=20261301", "UNTIL `20261301`: month 13 does not exist"),
        ("FREQ=DAILY;UNTIL=20260103T250000Z", "hour 25 does not exist"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH 13 is outside 1–12"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY 0 is neither in 1–31"),
        ("FREQ=MONTHLY;BYMONTHDAY=-32", "BYMONTHDAY -32 is outside"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY can't be used with FREQ=WEEKLY"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY 1MO needs FREQ=MONTHLY or FREQ=YEARLY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY 6MO is outside 1–5"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY `0MO` isn't a day of the week"),
        ("FREQ=MONTHLY;BYDAY=MON", "BYDAY `MON` isn't a day of the week"),
        ("FREQ=MONTHLY;BYDAY=Ä", "isn't a day of the week"),
        ("FREQ=MONTHLY;BYDAY=", "isn't a day of the week"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another BY part"),
        ("FREQ=WEEKLY;WKST=X", "WKST `X` isn't a day of the week"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR 24 is outside 0–23"),
        (
            "FREQ=DAILY;BYMINUTE=0,1,2,3,4,5,6,7,8,9;BYSECOND=0,1,2,3,4,5,6,7,8,9;BYHOUR=1,2,3",
            "300 times a day, more than 288",
        ),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "rrule: never matches"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "rrule: never matches"),
        ("FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=2", "rrule: never matches"),
        ("FREQ=DAILY;UNTIL=20251231", "rrule: never matches"),
        ("FREQ=DAILY\\nEXDATE:20260103", "has more than a recurrence rule; write the RRULE here"),
        ("DTSTART:20260101T090000 RRULE:FREQ=DAILY", "has more than a recurrence rule"),
        ("RRULE:", "has no FREQ"),
    ] {
        let json = format!(r#"{{"rrule":"{rule}","start":"2026-01-02T09:00:00"}}"#);
        let error = try_read(&json).unwrap_err().to_string();
        assert!(error.contains(says), "{rule}: {error}");
    }
}

#[test]
fn other_fields_of_a_rule_are_checked() {
    for (json, says) in [
        (r#"{"rrule":"FREQ=DAILY"}"#, "start: is missing: the local time"),
        (r#"{"rrule":"FREQ=DAILY","start":"soon"}"#, "start: `soon` isn't a time"),
        (
            r#"{"rrule":"FREQ=DAILY","start":"2026-01-02T09:00:00.5"}"#,
            "start: isn't a whole second",
        ),
        (r#"{"rrule":"FREQ=DAILY","start":"1950-01-02T09:00:00"}"#, "outside the years"),
        (
            r#"{"rrule":"FREQ=DAILY","start":"2026-01-02T09:00:00","gap":"skip"}"#,
            "gap: can't be used",
        ),
        (
            r#"{"rrule":"FREQ=DAILY","start":"2026-01-02T09:00:00","jitter":"1d"}"#,
            "period of 86400 s",
        ),
    ] {
        let error = try_read(json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
    let error =
        try_read(r#"{"rrule":"FREQ=DAILY;BYHOUR=24","start":"2026-01-02T09:00"}"#).unwrap_err();
    let annotated = error.annotated();
    assert!(
        annotated.ends_with("    FREQ=DAILY;BYHOUR=24\n                      ^^"),
        "{annotated}"
    );
}

#[test]
fn rules_are_described() {
    let words = |rule: &str| {
        read(&format!(
            r#"{{"rrule":"{rule}","start":"2026-01-02T09:00:00","timezone":"Europe/London"}}"#
        ))
        .describe()
    };
    for (rule, expected) in [
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
            "every 2 weeks on Monday and Friday at 09:00, London time, from 2026-01-02",
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR;COUNT=5",
            "every month on the last Friday at 09:00, London time, from 2026-01-02, 5 times",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-2;BYHOUR=8,9",
            "every month on Monday and Tuesday at 08:00 and 09:00, only the 2nd-last of these in each month, London time, from 2026-01-02",
        ),
        (
            "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1,-1;UNTIL=20300101T000000",
            "every year on the 1st and the last day of the month in March at 09:00, London time, from 2026-01-02, until 2030-01-01 00:00:00",
        ),
        ("FREQ=DAILY", "every day at 09:00, London time, from 2026-01-02"),
    ] {
        assert_eq!(words(rule), expected, "{rule}");
    }
}

#[test]
fn hostile_rules_are_answered_in_time() {
    // Each takes milliseconds; without bounds it would be minutes.
    for (rule, count) in [
        (
            "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=0,5,10,15,20,25,30,35,40,45,50,55",
            10_000,
        ),
        ("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=0,6,12,18;BYSETPOS=366,-366", 150),
        ("FREQ=DAILY;INTERVAL=10000;COUNT=10000", 3),
        ("FREQ=DAILY;COUNT=10000", 10_000),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", 3),
    ] {
        let schedule = read(&format!(r#"{{"rrule":"{rule}","start":"2026-01-02T00:00:00"}}"#));
        let found = schedule.count(Time::MIN, Time::MAX);
        assert!(found.abs_diff(count) <= 1, "{rule}: {found}");
        let next = schedule.next_after(Time::MAX);
        assert_eq!(next, None);
        assert!(schedule.prev_before(Time::MAX).is_some());
        assert_eq!(schedule.prev_before(Time::MIN), None);
    }
}

/// The instants of local times in a zone: the first pass, or the first instant after a gap.
fn instants(locals: &[NaiveDateTime], zone: super::tz::Tz) -> Vec<Time> {
    let mut instants: Vec<Time> = locals
        .iter()
        .map(|local| match zone.from_local_datetime(local) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => {
                Time::nearest(at.to_utc())
            }
            MappedLocalTime::None => {
                let before = Time::nearest(local.and_utc()) - TimeDelta::hours(36);
                super::cases::next_change(zone, before).unwrap()
            }
        })
        .collect();
    instants.dedup();
    instants
}

#[test]
fn in_a_zone_a_rule_has_the_instants_of_its_local_times() {
    let draw = Draw::seeded(21);
    for _ in 0..scaled(300) {
        let zone = draw.zone();
        let (from, hour) = draw.instant(zone);
        if from < time("1975-01-01T00:00:00Z") || from > time("2090-01-01T00:00:00Z") {
            continue;
        }
        let hour = hour.unwrap_or_else(|| draw.below(24));
        let start = (from.naive_utc() - TimeDelta::days(i64::from(draw.between(3, 800)))).date();
        let rule = format!(
            "FREQ=DAILY;BYHOUR={hour},{};BYMINUTE={},{}",
            draw.below(24),
            draw.below(60),
            draw.below(60)
        );
        let json = |zone: &str| {
            format!(r#"{{"rrule":"{rule}","start":"{start}T00:00:00","timezone":"{zone}"}}"#)
        };
        let local = read(&json("UTC"));
        let following = |at: &Time| local.next_after(*at);
        let near = from - TimeDelta::days(4);
        let locals = std::iter::successors(local.next_after(near), following);
        let end = from + TimeDelta::days(4);
        let locals: Vec<NaiveDateTime> =
            locals.take_while(|at| *at < end).map(|at| at.naive_utc()).collect();
        let (from, until) = (from - TimeDelta::days(2), from + TimeDelta::days(2));
        let expected: Vec<String> = instants(&locals, zone)
            .into_iter()
            .filter(|at| *at >= from && *at < until)
            .map(|at| at.to_rfc3339())
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&json(zone.name()), &from.to_rfc3339(), &until.to_rfc3339(), &expected);
    }
}
