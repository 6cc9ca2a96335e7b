//! Several schedules in one (`any`), case by case and beside the union of their occurrences.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use shared::clock::Time;
use shared::schedule::COUNT_MAX;

use super::cases::Draw;
use super::{check, read, scaled, time, try_read};

#[test]
fn an_instant_that_several_schedules_name_is_one_occurrence() {
    check(
        r#"{"any":[{"cron":"30 8 * * *"},{"cron":"0 12 * * *"},{"cron":"30 8,16 * * *"}],
            "timezone":"Europe/London"}"#,
        "2026-07-01T00:00:00Z",
        "2026-07-03T00:00:00Z",
        &[
            "2026-07-01T07:30:00Z",
            "2026-07-01T11:00:00Z",
            "2026-07-01T15:30:00Z",
            "2026-07-02T07:30:00Z",
            "2026-07-02T11:00:00Z",
            "2026-07-02T15:30:00Z",
        ],
    );
}

#[test]
fn the_forms_can_be_mixed_and_bounded_each_for_itself_and_together() {
    check(
        r#"{"any":[{"every":"6h"},
                   {"at":"2026-12-24T18:00:00","timezone":"Europe/Berlin"},
                   {"every":"1d","from":"2026-12-01T09:00:00","timezone":"Asia/Tokyo","end":"2026-12-24T12:00:00"},
                   {"cron":"15 * * * *","start":"2026-12-25T00:00:00Z"}],
            "end":"2026-12-25T01:00:00Z"}"#,
        "2026-12-24T00:00:00Z",
        "2027-01-01T00:00:00Z",
        &[
            "2026-12-24T00:00:00Z",
            "2026-12-24T06:00:00Z",
            "2026-12-24T12:00:00Z",
            "2026-12-24T17:00:00Z",
            "2026-12-24T18:00:00Z",
            "2026-12-25T00:00:00Z",
            "2026-12-25T00:15:00Z",
        ],
    );
}

#[test]
fn the_zone_is_for_those_with_local_times_that_name_none() {
    let json = r#"{"any":[{"cron":"0 9 * * *"},{"cron":"0 9 * * *","timezone":"Asia/Tokyo"},
                          {"every":"12h"},{"at":"2026-12-01T10:30:00"}],
                   "timezone":"America/New_York","start":"2026-12-01T00:00:00"}"#;
    check(
        json,
        "2026-11-30T00:00:00Z",
        "2026-12-02T01:00:00Z",
        &[
            "2026-12-01T12:00:00Z",
            "2026-12-01T14:00:00Z",
            "2026-12-01T15:30:00Z",
            "2026-12-02T00:00:00Z",
        ],
    );
    assert_eq!(read(json).timezone(), "America/New_York");
}

#[test]
fn jitter_delays_all_alike() {
    let json = r#"{"any":[{"cron":"0 9 * * *"},{"cron":"0 12 * * *"}],"jitter":"1h"}"#;
    let schedule = read(json);
    let first = schedule.next_after(time("2026-12-01T09:00:00Z")).unwrap();
    let second = schedule.next_after(first).unwrap();
    assert_eq!(second - first, TimeDelta::hours(3));
    assert!(schedule.describe().contains("later (jitter)"));
    let too_long = r#"{"any":[{"cron":"0 9 * * *"},{"every":"10m"}],"jitter":"1h"}"#;
    assert!(try_read(too_long).unwrap_err().to_string().contains("period of 600 s"));
}

#[test]
fn what_is_no_union_is_refused_with_the_schedule_that_is_wrong() {
    let many = vec![r#"{"every":"1h"}"#; 21].join(",");
    for (json, says) in [
        (r#"{"any":[]}"#, "any: has no schedule; write a list such as"),
        (r#"{"any":{"cron":"0 9 * * *"}}"#, "any: must be a list of schedules"),
        (r#"{"any":["0 9 * * *"]}"#, "any: must be a list of schedules"),
        (r#"{"any":[{"cron":"0 9 * * *"}],"cron":"0 9 * * *"}"#, "has both `cron` and `any`"),
        (
            r#"{"any":[{"every":"1h"},{"any":[{"every":"1h"}]}]}"#,
            "any: schedule 2: can't contain another `any`; list all",
        ),
        (
            r#"{"any":[{"every":"1h"},{"cron":"0 25 * * *"}]}"#,
            "any: schedule 2: cron: hour 25 is outside 0–23",
        ),
        (
            r#"{"any":[{"every":"1h"},{"cron":"0 0 12 ? * 2-6"}]}"#,
            "any: schedule 2: cron: this can be Quartz",
        ),
        (
            r#"{"any":[{"every":"1h","evry":"1h"}]}"#,
            "any: schedule 1: unknown field `evry`; did you mean `every`?",
        ),
        (r#"{"any":[{"every":"1h","every":"2h"}]}"#, "any: schedule 1: `every` is given twice"),
        (r#"{"any":[{"timezone":"UTC"}]}"#, "any: schedule 1: has none of `cron`, `every`"),
        (
            r#"{"any":[{"at":"2026-12-24T18:00:00"}]}"#,
            "any: schedule 1: at: is a local time without a zone",
        ),
        (
            r#"{"any":[{"cron":"0 9 * * *"}],"timezone":"Europe/Lodnon"}"#,
            "timezone: `Europe/Lodnon` isn't a time zone; did you mean",
        ),
        (r#"{"any":[{"cron":"0 9 * * *"}],"gap":"skip"}"#, "gap: can't be used with `any`"),
        (
            r#"{"any":[{"at":"2026-12-01T00:00:00Z"}],"start":"2027-01-01T00:00:00Z"}"#,
            "start: leaves no occurrence",
        ),
        (&format!(r#"{{"any":[{many}]}}"#), "has 21 schedules, more than 20"),
    ] {
        let error = try_read(json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
    let error = try_read(r#"{"any":[{"every":"1h"},{"cron":"0 25 * * *"}]}"#).unwrap_err();
    assert!(error.annotated().ends_with("    0 25 * * *\n      ^^"), "{}", error.annotated());
}

#[test]
fn it_is_described_with_each_zone_once() {
    for (json, expected) in [
        (
            r#"{"any":[{"cron":"30 8 * * *"},{"cron":"0 12 * * MON"}],"timezone":"Europe/London"}"#,
            "at 08:30 every day, and at 12:00 on Monday, London time",
        ),
        (
            r#"{"any":[{"cron":"30 8 * * *"},{"cron":"0 12 * * MON","timezone":"Asia/Tokyo"}]}"#,
            "at 08:30 every day, UTC, and at 12:00 on Monday, Tokyo time",
        ),
        (
            r#"{"any":[{"every":"1h"},{"at":"2026-12-24T18:00:00Z"}],"end":"2027-01-01T00:00:00Z"}"#,
            "every hour, and once, at 2026-12-24 18:00 UTC, not after 2027-01-01 00:00 UTC",
        ),
    ] {
        assert_eq!(read(json).describe(), expected);
    }
}

#[test]
fn an_occurrence_that_a_clock_change_moved_says_so() {
    let json =
        r#"{"any":[{"cron":"0 12 * * *"},{"cron":"30 2 * * *"}],"timezone":"America/New_York"}"#;
    let explained = read(json).occurrences_explained(time("2026-03-08T00:00:00Z"), 2);
    let lines: Vec<String> = explained
        .iter()
        .map(|one| {
            let change = one.change.map(|change| format!(" {change}")).unwrap_or_default();
            format!("{}{change}", one.local.to_rfc3339())
        })
        .collect();
    assert_eq!(
        lines,
        [
            "2026-03-08T03:00:00-04:00 moved: clocks skip 2026-03-08 02:30:00",
            "2026-03-08T12:00:00-04:00"
        ]
    );
}

#[test]
fn a_count_is_exact_up_to_its_bound() {
    let json = r#"{"any":[{"cron":"* * * * * *"},{"every":"1s"},{"every":"7s"}]}"#;
    let schedule = read(json);
    let first = time("2026-01-01T00:00:00Z");
    let after = |seconds: i64| first + TimeDelta::seconds(seconds);
    assert_eq!(schedule.count(first, after(9_999)), 9_999);
    assert_eq!(schedule.count_from(first, after(9_998)), 9_999);
    // Beyond it, the planner's count and that of the occurrence check still agree.
    for seconds in [9_999, 10_000, 100_000, 100_000_000] {
        assert_eq!(schedule.count_from(first, after(seconds)), COUNT_MAX);
        assert_eq!(schedule.count(first - TimeDelta::seconds(1), after(seconds)), COUNT_MAX);
    }
    let plain = read(r#"{"every":"1s"}"#);
    assert_eq!(plain.count_from(first, after(1_000_000)), 1_000_001);
}

#[test]
fn a_union_has_the_occurrences_of_its_schedules() {
    let draw = Draw::seeded(11);
    let tick = TimeDelta::microseconds(1);
    for _ in 0..scaled(150) {
        let zone = draw.zone();
        let (from, hour) = draw.instant(zone);
        let until = from + TimeDelta::hours(30);
        let mut members: Vec<String> = Vec::new();
        for _ in 0..=draw.below(3) {
            let mut expression = draw.expression(true, hour);
            expression.second = None;
            members.push(format!(
                r#"{{"cron":"{}","timezone":"{}"}}"#,
                expression.text(),
                zone.name()
            ));
        }
        members.push(format!(r#"{{"every":"{}m"}}"#, 15 * (1 + draw.below(20))));
        members.retain(|member| try_read(member).is_ok());
        let mut expected = BTreeSet::new();
        for member in &members {
            let member = read(member);
            let following = |before: &Time| member.next_after(*before);
            let times = std::iter::successors(member.next_after(from - tick), following);
            expected.extend(times.take_while(|time| *time < until));
        }
        let json = format!(r#"{{"any":[{}]}}"#, members.join(","));
        let expected: Vec<String> = expected.iter().map(Time::to_string).collect();
        let expected: Vec<String> =
            expected.iter().map(|text| text.replace(" UTC", "Z").replace(' ', "T")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let text = |time: Time| time.to_string().replace(" UTC", "Z").replace(' ', "T");
        check(&json, &text(from), &text(until), &expected);
    }
}
