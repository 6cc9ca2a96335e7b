//! Which schedules are rejected, and with which messages.

use super::try_read;

#[track_caller]
fn refusal(json: &str) -> String {
    match try_read(json) {
        Ok(schedule) => panic!("{json} is accepted as: {}", schedule.describe()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check_all(table: &[(&str, &str)]) {
    for (json, expected) in table {
        assert_eq!(refusal(json), *expected, "{json}");
    }
}

/// Checks a cron expression's error: its message and the underlined part.
#[track_caller]
fn check(expression: &str, underlined: &str, expected: &str) {
    let json = serde_json::json!({ "cron": expression }).to_string();
    let error = try_read(&json).expect_err(expression);
    assert_eq!(error.to_string(), format!("cron: {expected}"), "{expression}");
    assert_eq!(error.field(), "cron");
    let range = error.range();
    assert_eq!(range.map_or("", |range| &expression[range]), underlined, "{expression}");
}

#[test]
fn an_error_underlines_the_fault() {
    let error = try_read(r#"{"cron":"0 25 * * *"}"#).unwrap_err();
    let expected = "cron: hour 25 is outside 0–23\n    0 25 * * *\n      ^^";
    assert_eq!(error.annotated(), expected);
    // Control characters neither break the line nor shift the carets.
    let error = try_read(r#"{"cron":"0 ü\u0007ü 99 * *"}"#).unwrap_err();
    let expected = "    0 ü\u{fffd}ü 99 * *\n      ^^^";
    assert!(error.annotated().ends_with(expected), "{}", error.annotated());
}

#[test]
fn errors_name_the_fault_in_an_expression() {
    check("60 * * * *", "60", "minute 60 is outside 0–59; write 0");
    check("0 24 * * *", "24", "hour 24 is outside 0–23; write 0 for midnight");
    check("0 0 0 * *", "0", "day of month 0 is outside 1–31");
    check("0 0 1 13 *", "13", "month 13 is outside 1–12");
    check("0 0 * * 8", "8", "day of week 8 is outside 0–7; 0 and 7 are both Sunday");
    check("0 0 * * FRI-MON", "FRI-MON", "day of week FRI-MON runs backwards; write 5-6,0-1");
    check("0 22-2 * * *", "22-2", "hour 22-2 runs backwards; write 22-23,0-2");
    check("*/ * * * *", "/", "minute lacks a number");
    check("*/0 * * * *", "0", "minute has a step of 0; write a step of 1 or more");
    check("0 0 * * monday", "monday", "day of week `monday` isn't a number; write MON or 1");
    check("0 0 * FBE *", "FBE", "month `FBE` isn't a number; did you mean `FEB`?");
    check("0 ? * * 1", "?", "hour `?` isn't a number; write *");
    check("-5 * * * *", "-", "minute lacks a number");
    check("5- * * * *", "-", "minute lacks a number");
    check("1,,2 * * * *", "1,,2", "minute has an empty entry in its list; remove the extra comma");
    check("99999 * * * *", "99999", "minute 99999 is too large a number");
    check("0 0 15W-20 * *", "15W", "day of month `15W` isn't a number");
    check(
        "0 0 1-5W * *",
        "1-5W",
        "`W` takes a single day, not `1-5`; write 15W, or a list such as 1W,15W",
    );
    check("0 0 L-31 * *", "31", "no month has a day 31 days before its last; write L-1 to L-30");
    check(
        "0 0 * * L",
        "L",
        "`L` alone isn't a day of the week; write 5L for the last Friday of the month, or 6 for Saturday",
    );
    check("0 0 * * FRI#6", "6", "no month has a Friday #6; write #1 to #5, or L for the last");
    check("0 0 * * 5#L", "5#L", "`#` needs a number; write 5L");
    check("H(5) * * * *", "H(5)", "minute `H(5)` is invalid; write H, H/15, H(0-29) or H(0-29)/10");
    check("H(0-70) * * * *", "70", "minute 70 is outside 0–59");
}

#[test]
fn errors_name_what_makes_a_text_no_expression() {
    check(
        "@reboot",
        "@reboot",
        "`@reboot` has no meaning here: a job belongs to no machine; give a time to run at",
    );
    check("@houry", "@houry", "`@houry` is unknown; did you mean `@hourly`?");
    check(
        "@every soon",
        "@every",
        r#"`@every` isn't a cron expression; write {"every":"15m"} instead"#,
    );
    check(
        "",
        "",
        "the expression is empty; write five fields: minute, hour, day of month, month, day of week",
    );
    check(
        "soon",
        "soon",
        "has 1 field instead of five or six; write an optional second, then minute, hour, day of month, month, day of week",
    );
    check(
        "* * * *",
        "* * * *",
        "has 4 fields instead of five or six; write an optional second, then minute, hour, day of month, month, day of week",
    );
    check(
        "0 0 1 1 * * 1950",
        "1950",
        "a seventh field (a year) isn't supported; write it in a field of its own: \"years\":\"2026-2028\"",
    );
    check(
        "CRON_TZ=Nowhere 0 0 * * *",
        "CRON_TZ=Nowhere",
        r#"the time zone isn't part of the expression; set it in a field of its own: "timezone":"Europe/London""#,
    );
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 */29 2 1L", "0 0 31W 2 *", "0 0 L-30 2 *"]
    {
        check(
            never,
            never,
            "never matches: there is no such day before 2101; check its day and month fields",
        );
    }
}

#[test]
fn errors_name_the_fault_in_the_json() {
    let table = [
        (
            "nonsense",
            "schedule: cannot be parsed: expected ident at line 1 column 2; write an object such as {\"cron\":\"0 2 * * *\"}",
        ),
        (
            "{}",
            "schedule: has none of `cron`, `every`, `at`, `rrule` and `any`; give exactly one of `cron`, `every`, `at`, `rrule` and `any`",
        ),
        (
            r#"{"cron":"@daily","every":"1h"}"#,
            "schedule: has both `cron` and `every`; give exactly one of `cron`, `every`, `at`, `rrule` and `any`",
        ),
        (r#"{"cron":"@daily","cron":"@hourly"}"#, "schedule: `cron` is given twice"),
        (
            r#"{"cron":"@daily","timezon":"UTC"}"#,
            "schedule: unknown field `timezon`; did you mean `timezone`?",
        ),
        (
            r#"{"every":"1h","timezone":"UTC"}"#,
            "timezone: can't be used with `every` of `1h`; leave it out, or count whole days, weeks, months or years: 10d, 2w, 3 months, 1y",
        ),
        (
            r#"{"at":"2026-01-01T00:00:00Z","jitter":"1m"}"#,
            "jitter: can't be used with `at`; leave it out, or use `cron`, `every`, `rrule` or `any`",
        ),
        (r#"{"cron":5}"#, "cron: must be a string, not a number"),
        (r#"{"every":900}"#, "every: must be a string, not a number; write \"900s\" for seconds"),
        (
            r#"{"cron":"@daily","start":null}"#,
            "start: must be a string, not null; leave the field out",
        ),
    ];
    check_all(&table);
}

#[test]
fn errors_name_the_fault_in_a_field() {
    let table = [
        (
            r#"{"cron":"@daily","timezone":"Europe/Lodnon"}"#,
            "timezone: `Europe/Lodnon` isn't a time zone; did you mean `Europe/London`?",
        ),
        (
            r#"{"cron":"@daily","timezone":"europe/london"}"#,
            "timezone: `europe/london` isn't a time zone; did you mean `Europe/London`?",
        ),
        (r#"{"cron":"@daily","gap":"later"}"#, "gap: `later` is not one of first, skip"),
        (r#"{"cron":"@daily","fold":"twice"}"#, "fold: `twice` is not one of first, second, both"),
        (
            r#"{"every":"0s"}"#,
            "every: `0s` is less than a second; write a number and a unit: 30s, 15m, 1h 30m, 2d, 1w",
        ),
        (
            r#"{"every":"1500ms"}"#,
            "every: `1500ms` isn't a whole number of seconds; write a number and a unit: 30s, 15m, 1h 30m, 2d, 1w",
        ),
        (
            r#"{"every":"15M"}"#,
            "every: `15M` has months or years, which vary in length; use `cron` for those, or add a `timezone` and `from`",
        ),
        (
            r#"{"every":"200000d"}"#,
            "every: `200000d` is longer than a hundred years; write a number and a unit: 30s, 15m, 1h 30m, 2d, 1w",
        ),
        (
            r#"{"at":"9999-01-01T00:00:00Z"}"#,
            "at: `9999-01-01T00:00:00Z` is outside the years 1970 to 2100",
        ),
        (
            r#"{"every":"1h","start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}"#,
            "end: is before `start`",
        ),
        (
            r#"{"cron":"0 0 1 1 *","start":"2026-01-02T00:00:00Z","end":"2026-12-31T00:00:00Z"}"#,
            "end: leaves no occurrence; the schedule has no time between `start` and `end`",
        ),
        (r#"{"every":"10m","jitter":"10m"}"#, "jitter: 600 s isn't less than the period of 600 s"),
        (
            r#"{"cron":"0 1,22 * * *","jitter":"3h"}"#,
            "jitter: 10800 s isn't less than the period of 10800 s",
        ),
    ];
    check_all(&table);
    assert!(
        refusal(r#"{"at":"2026-12-01 at nine"}"#)
            .starts_with("at: `2026-12-01 at nine` isn't a time (")
    );
    for (time, reason) in [
        ("2026-13-01T09:00:00Z", "month 13 does not exist"),
        ("2026-04-31T09:00:00+01:00", "April 2026 has no day 31"),
        ("2026-12-01T25:00", "hour 25 does not exist"),
        ("2026-12-01", "it has no time of day"),
        ("2026-12", "it is incomplete"),
    ] {
        for field in ["at", "start", "end", "from"] {
            let json = match field {
                "at" => format!(r#"{{"at":"{time}"}}"#),
                _ => format!(r#"{{"every":"1d","{field}":"{time}"}}"#),
            };
            let refused = refusal(&json);
            let expected = format!("{field}: `{time}` isn't a time ({reason}); write it as");
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }
    assert!(refusal(r#"{"every":"often"}"#).starts_with("every: `often` isn't a duration; "));
    assert!(try_read(r#"{"cron":"0 0 * * 1","jitter":"6d"}"#).is_ok());
}

#[test]
fn hostile_text_gets_a_short_error() {
    let long = |json: String| {
        let message = refusal(&json);
        assert!(message.chars().count() < 200, "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    };
    long("[".repeat(100_000));
    long(format!(r#"{{"cron":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000)));
    long(format!(r#"{{"cron":"{}"}}"#, "* ".repeat(1000)));
    long(format!(r#"{{"cron":"{} * * * *"}}"#, "1,".repeat(120)));
    long(format!(r#"{{"cron":"{} * * * *"}}"#, "9".repeat(200)));
    long(format!(r#"{{"{}":1}}"#, "x".repeat(3000)));
    long(format!(r#"{{"every":"{}"}}"#, "9".repeat(3000)));
    long(format!(r#"{{"cron":"@daily","timezone":"{}"}}"#, "\\u0000".repeat(500)));
    long(r#"{"cron":"\u001b[31m * * * *"}"#.to_owned());
    long(r#"{"every":1e999}"#.to_owned());
    long(r#"{"every":"99999999999999999999999999s"}"#.to_owned());
    long(r#"{"at":"+262143-01-01T00:00:00Z"}"#.to_owned());
}

#[test]
fn no_text_makes_the_parser_panic() {
    let draw = super::cases::Draw::seeded(4);
    let alphabet: Vec<char> = "0123456789*/-,#LWH()@?MONFRIJANé \u{3000}".chars().collect();
    for _ in 0..super::scaled(20_000) {
        let length = draw.between(1, 14);
        let mut text: String = (0..length).map(|_| draw.of(&alphabet)).collect();
        if draw.chance(80) {
            let mut fields = ["*"; 5];
            fields[draw.below(5) as usize] = &text;
            text = fields.join(" ");
        }
        let json = serde_json::json!({ "cron": text }).to_string();
        if let Err(error) = try_read(&json) {
            assert!(!error.annotated().is_empty());
        }
    }
}
