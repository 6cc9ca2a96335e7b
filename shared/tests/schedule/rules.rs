//! The documented rules of cron expressions and of the other forms.

use chrono::TimeDelta;
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};

use super::{check, read, time, try_read};

/// Checks on which days of 2026 an expression with these last three fields occurs, written as month
/// and day.
#[track_caller]
fn check_days(days: &str, from: &str, until: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|day| format!("2026-{day}T00:00:00Z")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let json = format!(r#"{{"cron":"0 0 {days}"}}"#);
    check(&json, &format!("2026-{from}T00:00:00Z"), &format!("2026-{until}T00:00:00Z"), &expected);
}

#[test]
fn days_follow_unix_cron() {
    // 2026-02-01 is a Sunday.
    let sundays = ["02-01", "02-08", "02-15", "02-22"];
    for sunday in ["0", "7", "SUN", "sun", "7-7", "6#1,0", "SUN/7"] {
        let expected: &[&str] =
            if sunday == "6#1,0" { &["02-01", "02-07", "02-08"] } else { &sundays[..2] };
        check_days(&format!("* * {sunday}"), "02-01", "02-15", expected);
    }
    check_days("* * MON-FRI", "02-05", "02-11", &["02-05", "02-06", "02-09", "02-10"]);
    check_days("* * SAT-SUN", "02-05", "02-10", &["02-07", "02-08"]);
    check_days("* * 5-7", "02-05", "02-10", &["02-06", "02-07", "02-08"]);
    check_days("* * */3", "02-01", "02-08", &["02-01", "02-04", "02-07"]);
    // A day needs to match only one of the two fields if both are restricted, ...
    check_days("13 * FRI", "02-10", "03-07", &["02-13", "02-20", "02-27", "03-06"]);
    check_days("10 * FRI", "02-05", "02-14", &["02-06", "02-10", "02-13"]);
    // ... but both if one begins with a star.
    check_days("*/2 * FRI", "02-01", "03-01", &["02-13", "02-27"]);
    check_days("13 * */5", "02-01", "04-30", &["02-13", "03-13"]);
    check_days("31 * *", "02-01", "06-01", &["03-31", "05-31"]);
    check_days(
        "1 JAN-MAR,jul/4 *",
        "01-01",
        "12-31",
        &["01-01", "02-01", "03-01", "07-01", "11-01"],
    );
}

#[test]
fn special_days_depend_on_the_month() {
    check_days("L * *", "01-01", "05-01", &["01-31", "02-28", "03-31", "04-30"]);
    check_days("L-3 * *", "01-01", "04-01", &["01-28", "02-25", "03-28"]);
    check_days("L-30 * *", "01-01", "06-01", &["01-01", "03-01", "05-01"]);
    // 2026-01-31 and 02-28 are Saturdays, 05-31 is a Sunday.
    check_days("LW * *", "01-01", "06-01", &["01-30", "02-27", "03-31", "04-30", "05-29"]);
    // 2026-02-15 is a Sunday, 08-15 a Saturday, 04-15 a Wednesday.
    check_days("15W 2,4,8 *", "01-01", "12-31", &["02-16", "04-15", "08-14"]);
    // It stays within the month: 08-01 is a Saturday, 02-01 a Sunday, 05-31 a Sunday.
    check_days("1W 2,8 *", "01-01", "12-31", &["02-02", "08-03"]);
    check_days("31W 1-5 *", "01-01", "12-31", &["01-30", "03-31", "05-29"]);
    check_days("* * 5L", "01-01", "04-01", &["01-30", "02-27", "03-27"]);
    check_days("* * FRIL", "01-01", "03-01", &["01-30", "02-27"]);
    check_days("* * FRI#2", "01-01", "04-01", &["01-09", "02-13", "03-13"]);
    check_days("* * 7#5", "01-01", "06-30", &["03-29", "05-31"]);
    check_days("L,1 * *", "02-01", "04-01", &["02-01", "02-28", "03-01", "03-31"]);
    check_days("L * MON#1", "02-01", "03-10", &["02-02", "02-28", "03-02"]);
}

#[test]
fn times_follow_unix_cron() {
    let minutes = |expression: &str, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|time| format!("2026-02-01T{time}Z")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let json = serde_json::json!({ "cron": expression }).to_string();
        check(&json, "2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z", &expected);
    };
    minutes("*/25 * * * *", &["10:00:00", "10:25:00", "10:50:00"]);
    minutes("5/20 * * * *", &["10:05:00", "10:25:00", "10:45:00"]);
    minutes("10-20/5,59 * * * *", &["10:10:00", "10:15:00", "10:20:00", "10:59:00"]);
    minutes("*/100 * * * *", &["10:00:00"]);
    minutes("007 10 * * *", &["10:07:00"]);
    minutes("  7\t10  * * * ", &["10:07:00"]);
    minutes("*/30 7 10 * * *", &["10:07:00", "10:07:30"]);
    minutes("59 59 10 * * *", &["10:59:59"]);
    minutes("@hourly", &["10:00:00"]);
    minutes("@HOURLY", &["10:00:00"]);
    let words = [
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ];
    for (word, meaning) in words {
        let next = |cron| {
            read(&format!(r#"{{"cron":"{cron}"}}"#)).next_after(time("2026-02-03T04:05:06Z"))
        };
        assert_eq!(next(word), next(meaning), "{word}");
    }
}

#[test]
fn leap_days_occur_in_2000_and_not_in_2100() {
    let json = r#"{"cron":"0 0 29 2 *"}"#;
    let expected = ["1996-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2004-02-29T00:00:00Z"];
    check(json, "1993-01-01T00:00:00Z", "2008-01-01T00:00:00Z", &expected);
    assert_eq!(read(json).next_after(time("2096-03-01T00:00:00Z")), None);
    assert_eq!(read(json).prev_before(time("1972-02-29T00:00:00Z")), None);
}

fn spread(job: i64) -> Spread {
    Spread::new(TenantId(uuid::Uuid::from_u128(7)), JobId(job))
}

#[test]
fn h_is_constant_for_a_job_and_spreads_jobs() {
    let next = |json: &str, job: i64| {
        let schedule = Schedule::read(json, spread(job)).unwrap();
        schedule.next_after(time("2026-02-01T00:00:00Z")).unwrap()
    };
    let json = r#"{"cron":"H H * * *"}"#;
    let times: Vec<_> = (0..1000).map(|job| next(json, job)).collect();
    let mut distinct = times.clone();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 600, "{} of 1440 minutes for 1000 jobs", distinct.len());
    // These must never change: that would move existing jobs.
    let expected = ["2026-02-01T08:21:00Z", "2026-02-01T11:43:00Z", "2026-02-01T13:23:00Z"];
    assert_eq!(times[1..4], expected.map(time));
    for job in 0..100 {
        let within = next(r#"{"cron":"H(10-19) 5 * * *"}"#, job) - time("2026-02-01T05:00:00Z");
        assert!((10..=19).contains(&within.num_minutes()), "{within}");
        let every = Schedule::read(r#"{"cron":"H/15 * * * *"}"#, spread(job)).unwrap();
        let from = time("2026-02-01T00:00:00Z") - TimeDelta::microseconds(1);
        assert_eq!(every.count(from, from + TimeDelta::hours(1)), 4, "job {job}");
        let month = Schedule::read(r#"{"cron":"0 0 H 2 *"}"#, spread(job)).unwrap();
        assert!(
            month.next_after(time("2026-01-31T00:00:00Z")) < Some(time("2026-03-01T00:00:00Z"))
        );
    }
}

#[test]
fn jitter_is_one_delay_for_all_occurrences_of_a_job() {
    let day = TimeDelta::days(1);
    let plain = time("2026-02-01T02:00:00Z");
    let mut delays = Vec::new();
    for job in 0..50 {
        let json = r#"{"cron":"0 2 * * *","jitter":"30m"}"#;
        let schedule = Schedule::read(json, spread(job)).unwrap();
        let first = schedule.next_after(plain - TimeDelta::hours(1)).unwrap();
        let delay = first - plain;
        assert!(delay >= TimeDelta::zero() && delay < TimeDelta::minutes(30), "{delay}");
        assert_eq!(schedule.next_after(first), Some(first + day));
        assert_eq!(schedule.prev_before(first), Some(first - day));
        assert_eq!(schedule.count(first - day, first + day), 2);
        delays.push(delay);
    }
    // These must never change, either.
    assert_eq!(delays[1..4], [816, 1192, 1624].map(TimeDelta::seconds));
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 40);
}

#[test]
fn every_counts_from_the_epoch_or_from_a_given_time() {
    let expected = ["2026-02-01T10:30:00Z", "2026-02-01T10:45:00Z", "2026-02-01T11:00:00Z"];
    check(r#"{"every":"15m"}"#, "2026-02-01T10:20:00Z", "2026-02-01T11:15:00Z", &expected);
    let json = r#"{"every":"1h 30m","from":"2026-02-01T10:00:00.5Z"}"#;
    let expected = ["2026-02-01T10:00:00.5Z", "2026-02-01T11:30:00.5Z"];
    check(json, "2026-01-01T00:00:00Z", "2026-02-01T12:00:00Z", &expected);
    assert_eq!(read(json).prev_before(time("2026-02-01T10:00:00.5Z")), None);
}

#[test]
fn at_occurs_once_and_is_armed_even_if_past() {
    let json = r#"{"at":"2026-12-01T09:00:00+01:00"}"#;
    let at = "2026-12-01T08:00:00Z";
    check(json, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", &[at]);
    let schedule = read(json);
    assert_eq!(schedule.first_after(time("2030-01-01T00:00:00Z")), Some(time(at)));
    assert_eq!(schedule.next_after(time(at)), None);
    // The other forms are armed for a later time.
    let daily = read(r#"{"cron":"@daily"}"#);
    assert_eq!(daily.first_after(time(at)), daily.next_after(time(at)));
}

#[test]
fn start_and_end_are_inclusive() {
    let json = r#"{"every":"1h","start":"2026-02-01T10:00:00Z","end":"2026-02-01T12:00:00Z"}"#;
    let expected = ["2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z", "2026-02-01T12:00:00Z"];
    check(json, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", &expected);
    let schedule = read(json);
    assert_eq!(schedule.next_after(time("2026-02-01T12:00:00Z")), None);
    assert_eq!(schedule.prev_before(time("2026-02-01T10:00:00Z")), None);
    assert_eq!(schedule.first_after(time("2026-01-01T00:00:00Z")), Some(time(expected[0])));
    // The bounds apply to the time with jitter.
    for job in 0..20 {
        let json = r#"{"cron":"0 * * * *","jitter":"30m","end":"2026-02-01T12:10:00Z"}"#;
        let schedule = Schedule::read(json, spread(job)).unwrap();
        let last = schedule.prev_before(time("2027-01-01T00:00:00Z")).unwrap();
        assert!(last <= time("2026-02-01T12:10:00Z"));
        assert!(last > time("2026-02-01T11:10:00Z"));
    }
}

#[test]
fn extreme_times_do_not_panic() {
    use shared::clock::Time;
    let schedules = [
        r#"{"cron":"* * * * * *","timezone":"Pacific/Kiritimati"}"#,
        r#"{"cron":"0 0 1 1 *","timezone":"Pacific/Pago_Pago","fold":"both"}"#,
        r#"{"every":"1s"}"#,
        r#"{"every":"36525d"}"#,
        r#"{"every":"1s","from":"2100-12-31T23:59:59Z"}"#,
        r#"{"at":"2100-12-31T23:59:59Z"}"#,
    ];
    for json in schedules {
        let schedule = read(json);
        let first = schedule.next_after(Time::MIN).unwrap();
        let last = schedule.prev_before(Time::MAX).unwrap();
        assert_eq!(schedule.prev_before(first), None, "{json}");
        assert_eq!(schedule.next_after(last), None, "{json}");
        assert_eq!(schedule.next_after(Time::MAX), None, "{json}");
        assert_eq!(schedule.prev_before(Time::MIN), None, "{json}");
        assert_eq!(schedule.latest(first, Time::MAX).unwrap_or(first), last, "{json}");
        assert!(schedule.count(Time::MIN, Time::MAX) >= 1, "{json}");
    }
    let seconds = read(r#"{"cron":"* * * * * *"}"#);
    let year = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
    assert_eq!(seconds.count(year.0, year.1), 365 * 86_400);
}

#[test]
fn every_zone_can_be_used() {
    for zone in super::tz::Tz::all() {
        let json = format!(r#"{{"cron":"0 12 * * *","timezone":"{}"}}"#, zone.name());
        let next = try_read(&json).unwrap().next_after(time("2026-02-01T00:00:00Z")).unwrap();
        assert_eq!(next.with_timezone(&zone).format("%H:%M:%S").to_string(), "12:00:00", "{json}");
    }
}
