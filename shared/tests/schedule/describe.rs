//! Descriptions of schedules and occurrences.

use super::{read, time};

#[track_caller]
fn check(json: &str, expected: &str) {
    assert_eq!(read(json).describe(), expected, "{json}");
}

#[test]
fn schedules_are_described_in_words() {
    let cron = |expression: &str, expected: &str| {
        check(&format!(r#"{{"cron":"{expression}"}}"#), &format!("{expected}, UTC"));
    };
    cron("* * * * *", "every minute");
    cron("*/5 * * * *", "every 5 minutes");
    cron("0 * * * *", "at minute 0 of every hour");
    cron("7,37 * * * *", "at minutes 7 and 37 of every hour");
    cron("*/15 9-17 * * 1-5", "every 15 minutes of the hours 9 to 17 on Monday to Friday");
    cron("0 2 * * *", "at 02:00 every day");
    cron("0 9,12,15 * * SAT,SUN", "at 09:00, 12:00 and 15:00 on Saturday and Sunday");
    cron("30 9 1 * *", "at 09:30 on day 1 of the month");
    cron("30 9 1,15 1-3 *", "at 09:30 on days 1 and 15 of the month in January to March");
    cron("0 0 13 * 5", "at 00:00 on day 13 of the month and also on Friday");
    cron(
        "0 0 */2 * 1",
        "at 00:00 on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 \
        and 31 of the month, if that is Monday",
    );
    cron("0 0 L * *", "at 00:00 on the last day of the month");
    cron("0 0 L-3 * *", "at 00:00 on the 3rd day before the last of the month");
    cron(
        "0 0 15W,LW * *",
        "at 00:00 on the weekday nearest to day 15 and the last weekday of the month",
    );
    cron(
        "0 0 * * FRI#2,5L",
        "at 00:00 on the 2nd Friday of the month and the last Friday of the month",
    );
    cron("*/10 * * * * *", "every 10 seconds");
    cron("* * * * * *", "every second");
    cron("30 */10 * * * *", "at second 30, every 10 minutes");
    cron("15 0 2 * * *", "at second 15, at minute 0 of the hour 2 every day");
    cron("@weekly", "at 00:00 on Sunday");
    check(
        r#"{"cron":"0 2 * * 1-5","timezone":"Europe/London"}"#,
        "at 02:00 on Monday to Friday, London time",
    );
    check(
        r#"{"cron":"0 2 * * *","timezone":"America/Argentina/Buenos_Aires","gap":"skip","fold":"both"}"#,
        "at 02:00 every day, Buenos Aires time, not when clocks skip that time, both times when \
        clocks repeat it",
    );
    // It is no steady period where clocks go back.
    let once = ", only once when clocks repeat an hour (with `*` as its minute or hour, twice)";
    for expression in ["0-59/15 0-23 * * *", "0/15 0-23 * * *"] {
        check(
            &format!(r#"{{"cron":"{expression}","timezone":"Europe/London"}}"#),
            &format!("every 15 minutes, London time{once}"),
        );
    }
    check(r#"{"cron":"*/15 * * * *","timezone":"Europe/London"}"#, "every 15 minutes, London time");
    check(
        r#"{"cron":"0-59/15 0-23 * * *","timezone":"Asia/Tokyo"}"#,
        "every 15 minutes, Tokyo time",
    );
    check(r#"{"every":"15m"}"#, "every 15 minutes");
    check(r#"{"every":"1h"}"#, "every hour");
    check(
        r#"{"every":"90m","from":"2026-01-01T00:00:30Z","end":"2027-01-01T00:00:00Z"}"#,
        "every 1 hour 30 minutes, counted from 2026-01-01 00:00:30 UTC, not after 2027-01-01 \
        00:00 UTC",
    );
    check(r#"{"at":"2026-12-01T10:00:00+01:00"}"#, "once, at 2026-12-01 09:00 UTC");
}

#[test]
fn occurrences_show_the_effect_of_clock_changes() {
    let explain = |json: &str, after: &str| {
        let explained = read(json).occurrences_explained(time(after), 2);
        let lines = explained.into_iter().map(|one| {
            let change = one.change.map(|change| format!(" {change}")).unwrap_or_default();
            assert_eq!(one.local, *one.at);
            format!("{}{change}", one.local.to_rfc3339())
        });
        lines.collect::<Vec<_>>()
    };
    let json = r#"{"cron":"30 2 * * *","timezone":"America/New_York"}"#;
    assert_eq!(
        explain(json, "2026-03-08T00:00:00Z"),
        [
            "2026-03-08T03:00:00-04:00 moved: clocks skip 2026-03-08 02:30:00",
            "2026-03-09T02:30:00-04:00",
        ]
    );
    let json = r#"{"cron":"30 1 * * *","timezone":"America/New_York","fold":"both"}"#;
    assert_eq!(
        explain(json, "2026-11-01T00:00:00Z"),
        [
            "2026-11-01T01:30:00-04:00 first pass of a repeated time",
            "2026-11-01T01:30:00-05:00 second pass of a repeated time",
        ]
    );
    let json = r#"{"at":"2026-11-01T00:00:00Z"}"#;
    assert_eq!(explain(json, "2026-10-01T00:00:00Z"), ["2026-11-01T00:00:00+00:00"]);
    assert!(explain(json, "2026-11-01T00:00:00Z").is_empty());
}
