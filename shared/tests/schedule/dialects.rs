//! Texts in other schedulers' languages: each is recognised by name, and what is proposed means what
//! was meant.

use chrono::{Datelike, NaiveDate};
use shared::schedule::{Reading, readings};

use super::cases::Draw;
use super::{read, time, try_read};

#[track_caller]
fn refusal(cron: &str) -> String {
    let json = serde_json::json!({ "cron": cron }).to_string();
    match try_read(&json) {
        Ok(schedule) => panic!("{cron} is accepted as: {}", schedule.describe()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_expression_of_another_language_is_refused_with_its_translation() {
    for (text, says) in [
        ("0 0 12 ? * 2-6", &["Quartz", "1 is Sunday", "`0 12 * * MON-FRI` for Quartz"][..]),
        ("0 0 12 ? * 2-6", &["`0 12 * * TUE-SAT` for Spring"]),
        ("0 0 12 * * ?", &["this is Quartz", "write `0 12 * * *`"]),
        ("0 15 10 ? * 6L", &["`15 10 * * 5L` for Quartz"]),
        ("0 15 10 ? * 6#3", &["`15 10 * * FRI#3` for Quartz"]),
        ("0 15 10 L-2 * ?", &["write `15 10 L-2 * *`"]),
        ("0 0/5 14,18 * * ?", &["write `*/5 14,18 * * *`"]),
        ("10 0 0 ? * FRI-MON", &["`10 0 0 * * SUN,MON,FRI,SAT`"]),
        ("0 0 0 1 1 ? 2030", &[r#"`{"cron":"0 0 1 1 *","years":"2030"}`"#]),
        ("0 0 0 1 1 ? 2026/4", &[r#"{"cron":"0 0 1 1 *","years":"2026,2030,2034"#]),
        ("0 15 10 L-3W * ?", &["write `15 10 L-3W * *`"]),
        ("0 15 10 LW * ? 2027,2029", &[r#"{"cron":"15 10 LW * *","years":"2027,2029"}"#]),
        ("cron(0 12 * * ? *)", &["EventBridge", "write `0 12 * * *`"]),
        ("0 12 * * ? *", &["EventBridge", "write `0 12 * * *`"]),
        ("0 18 ? * MON-FRI *", &["EventBridge", "write `0 18 * * MON-FRI`"]),
        ("cron(0 8 ? * 2#1 *)", &["write `0 8 * * MON#1`"]),
        ("rate(5 minutes)", &["EventBridge's rate", r#"write `{"every":"5m"}`"#]),
        ("rate(1 day)", &[r#"`{"every":"1d"}`"#]),
        ("at(2026-12-24T18:00:00)", &[r#"`{"at":"2026-12-24T18:00:00Z"}`"#]),
        ("* * * * * * *", &["supercronic", "write `* * * * * *`"]),
        ("0 0 1 1 * * 2027-2029", &[r#""years":"2027-2029""#]),
        ("0 9 * * * America/New_York", &[r#"{"cron":"0 9 * * *","timezone":"America/New_York"}"#]),
        ("TZ=Asia/Tokyo 0 9 * * *", &[r#"{"cron":"0 9 * * *","timezone":"Asia/Tokyo"}"#]),
        ("@every 1h30m", &["@every", r#"{"every":"1h 30m"}"#]),
        ("@every_minute", &["BSD", "write `* * * * *`"]),
        ("* * * * * */15", &["croniter", "write `*/15 * * * * *`"]),
        ("0 9 * * * 30", &["croniter", "write `30 0 9 * * *`"]),
        ("Mon..Fri *-*-* 09:00:00", &["systemd", "write `0 9 * * MON-FRI`"]),
        ("OnCalendar=Sat *-*-1..7 18:00", &["write `0 18 * * SAT#1`"]),
        ("*-*~01 23:30", &["systemd", "write `30 23 L * *`"]),
        ("*:0/15", &["systemd", "write `*/15 * * * *`"]),
        ("weekly", &["systemd", "write `0 0 * * MON`"]),
        ("daily Europe/Berlin", &[r#"{"cron":"0 0 * * *","timezone":"Europe/Berlin"}"#]),
        ("every 5 minutes", &["Google Cloud", r#"{"every":"5m"}"#]),
        ("every monday 09:00", &["write `0 9 * * MON`"]),
        ("1st,third monday of month 15:30", &["write `30 15 * * MON#1,MON#3`"]),
        ("2nd wednesday of march,june 17:00", &["write `0 17 * MAR,JUN WED#2`"]),
        ("PT15M", &["ISO 8601", r#"{"every":"15m"}"#]),
        ("R/2026-01-01T00:00:00Z/PT12H", &[r#"{"every":"12h","from":"2026-01-01T00:00:00Z"}"#]),
        ("R3/2026-01-01T00:00:00Z/P1D", &[r#""end":"2026-01-03T00:00:00Z""#]),
        ("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=9;BYMINUTE=0", &["RRULE", "write `0 9 * * MON,FRI`"]),
        (
            "DTSTART:20260102T073000\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1",
            &["RRULE", "write `30 7 L * *`"],
        ),
        ("0 0 ? * 1", &["`0 0 * * MON` for cron of Go", "`0 0 * * SUN` for Quartz"]),
        ("0 0 $ * *", &["pg_cron", "write `0 0 L * *`"]),
        ("-*/5 * * * *", &["cronie", "write `*/5 * * * *`"]),
        ("0 9 * * 0\u{2013}7", &["en dash", "U+2013", "`-`", "write `0 9 * * 0-7`"]),
        ("0 9 * *\u{a0}1\u{2014}5", &["no-break space", "write `0 9 * * 1-5`"]),
        ("\u{ff10} 9 * * *", &["full-width", "write `0 9 * * *`"]),
        ("\u{feff}0 9 * * *", &["byte-order mark", "invisible", "write `0 9 * * *`"]),
    ] {
        let refusal = refusal(text);
        for part in says {
            assert!(refusal.contains(part), "{text:?}: {refusal}");
        }
    }
}

#[test]
fn a_calendars_entry_is_refused_with_its_translation() {
    for (text, says) in [
        (
            "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
            &["this is an RRULE (RFC 5545); write {\"rrule\":"][..],
        ),
        (
            "DTSTART;TZID=Europe/London:20260102T090000\nRRULE:FREQ=WEEKLY;INTERVAL=2\nEXDATE;TZID=Europe/London:20260116T090000,20260130T090000",
            &[
                r#"{"except":["2026-01-16T09:00:00","2026-01-30T09:00:00"],"rrule":"FREQ=WEEKLY;INTERVAL=2","start":"2026-01-02T09:00:00","timezone":"Europe/London"}"#,
            ],
        ),
        (
            "DTSTART:20260102T090000Z RRULE:FREQ=DAILY;COUNT=3 RDATE:20260110T120000Z",
            &[
                r#"{"any":[{"rrule":"FREQ=DAILY;COUNT=3","start":"2026-01-02T09:00:00Z"},{"at":"2026-01-10T12:00:00Z"}],"timezone":"UTC"}"#,
            ],
        ),
    ] {
        let refusal = refusal(text);
        for part in says {
            assert!(refusal.contains(part), "{text:?}: {refusal}");
        }
    }
}

#[test]
fn a_date_that_does_not_exist_is_named() {
    for (text, says) in [
        ("at(2026-13-01T09:00:00)", &["cron: month 13 does not exist; write a date that exists"]),
        ("R/2026-02-30T00:00:00Z/PT12H", &["February 2026 has no day 30"]),
        ("DTSTART:20261301T090000 RRULE:FREQ=DAILY;COUNT=2", &["month 13 does not exist"]),
        ("2026-04-31 09:00", &["April 2026 has no day 31"]),
    ] {
        let refusal = refusal(text);
        for part in says {
            assert!(refusal.contains(part), "{text:?}: {refusal}");
        }
    }
}

#[test]
fn a_duration_of_another_language_is_refused_with_its_translation() {
    for (every, says) in [
        ("PT15M", &["ISO 8601", r#"`{"every":"15m"}`"#][..]),
        ("P1DT12H", &[r#"`{"every":"1d 12h"}`"#]),
        ("P1M", &["months or years"]),
        ("@every 90s", &[r#"`{"every":"1m 30s"}`"#]),
    ] {
        let error = try_read(&serde_json::json!({ "every": every }).to_string()).unwrap_err();
        for part in says {
            assert!(error.to_string().contains(part), "{every}: {error}");
        }
    }
}

#[test]
fn what_is_only_mistyped_is_not_taken_for_another_language() {
    for text in
        ["0 25 * * *", "0 0 25 * * *", "61 * * * *", "@houry", "* * * *", "0 0 30 2 *", "soon"]
    {
        let refusal = refusal(text);
        assert!(!refusal.contains("this is") && !refusal.contains("can be"), "{text}: {refusal}");
    }
}

#[test]
fn all_readings_of_an_ambiguous_text_are_told() {
    let languages = |text: &str| {
        let readings = readings(text);
        readings.iter().map(|Reading { language, .. }| *language).collect::<Vec<_>>().join("; ")
    };
    assert!(languages("0 9 * * * 5").starts_with("Polychron; croniter"), "own and seconds last");
    assert!(languages("0 0 12 ? * 2-6").contains("Quartz"));
    assert_eq!(languages("0 2 * * *"), "Polychron");
    assert_eq!(languages("nonsense"), "");
}

#[test]
fn a_local_time_is_one_of_the_schedules_zone() {
    for (json, first) in [
        (r#"{"at":"2026-12-24T18:00:00","timezone":"Europe/Berlin"}"#, "2026-12-24T17:00:00Z"),
        (r#"{"at":"2026-12-24T18:00","timezone":"Europe/Berlin"}"#, "2026-12-24T17:00:00Z"),
        // Skipped: the first instant after the gap. Repeated: the first pass.
        (r#"{"at":"2026-03-29T02:30","timezone":"Europe/Berlin"}"#, "2026-03-29T01:00:00Z"),
        (r#"{"at":"2026-10-25T02:30","timezone":"Europe/Berlin"}"#, "2026-10-25T00:30:00Z"),
        (
            r#"{"cron":"0 0 * * *","timezone":"Asia/Tokyo","start":"2026-12-24T00:00:00"}"#,
            "2026-12-23T15:00:00Z",
        ),
    ] {
        let next = read(json).next_after(time("2026-01-01T00:00:00Z"));
        assert_eq!(next, Some(time(first)), "{json}");
    }
    let ended = read(r#"{"cron":"0 0 * * *","timezone":"Asia/Tokyo","end":"2026-12-24T00:00:00"}"#);
    assert_eq!(ended.prev_before(time("2100-01-01T00:00:00Z")), Some(time("2026-12-23T15:00:00Z")));
    assert!(ended.describe().ends_with("not after 2026-12-24 00:00, Tokyo time"));
    let once = read(r#"{"at":"2026-12-24T18:00","timezone":"Europe/Berlin"}"#);
    assert_eq!(once.describe(), "once, at 2026-12-24 18:00, Berlin time");
    let refused = try_read(r#"{"at":"2026-12-24T18:00:00"}"#).unwrap_err().to_string();
    assert!(refused.contains("without a zone; add Z"), "{refused}");
}

/// Which days a Quartz expression's day-of-week field means, worked out in another way: every day of a
/// year is asked.
fn quartz_matches(field: &QuartzDay, date: NaiveDate) -> bool {
    // In Quartz, 1 is Sunday.
    let weekday = date.weekday().number_from_sunday();
    let week_later = date + chrono::TimeDelta::days(7);
    match *field {
        QuartzDay::Range(from, to) if from <= to => (from..=to).contains(&weekday),
        QuartzDay::Range(from, to) => weekday >= from || weekday <= to,
        QuartzDay::Nth(day, nth) => weekday == day && (date.day() - 1) / 7 + 1 == nth,
        QuartzDay::Last(day) => weekday == day && week_later.month() != date.month(),
        QuartzDay::Every(first, step) => weekday >= first && (weekday - first).is_multiple_of(step),
    }
}

enum QuartzDay {
    Range(u32, u32),
    Nth(u32, u32),
    Last(u32),
    Every(u32, u32),
}

#[test]
fn translations_of_quartz_mean_the_same_on_every_day() {
    let draw = Draw::seeded(21);
    for _ in 0..super::scaled(300) {
        let (a, b) = (draw.between(1, 7), draw.between(1, 7));
        let (field, text) = match draw.below(4) {
            0 => (QuartzDay::Range(a, b), format!("{a}-{b}")),
            1 => (QuartzDay::Nth(a, b.min(5)), format!("{a}#{}", b.min(5))),
            2 => (QuartzDay::Last(a), format!("{a}L")),
            _ => (QuartzDay::Every(a, b), format!("{a}/{b}")),
        };
        let (hour, minute) = (draw.below(24), draw.below(60));
        let text = match draw.below(2) {
            0 => format!("0 {minute} {hour} ? * {text}"),
            _ => format!("cron({minute} {hour} ? * {text} *)"),
        };
        let readings = readings(&text);
        let reading = &readings[0];
        assert!(reading.language.contains("1 is Sunday"), "{text}: {readings:?}");
        let schedule = read(&reading.schedule.to_string());
        for day in 0..366 {
            let date = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::TimeDelta::days(day);
            let at = date.and_hms_opt(hour, minute, 0).unwrap().and_utc();
            let at: shared::clock::Time = at.try_into().unwrap();
            let is_due = schedule.latest(at - chrono::TimeDelta::seconds(1), at) == Some(at);
            assert_eq!(is_due, quartz_matches(&field, date), "{text} as {reading:?} on {date}");
        }
    }
}

#[test]
fn every_remedy_is_valid() {
    let draw = Draw::seeded(22);
    let words = [
        "*",
        "?",
        "0",
        "5",
        "1-5",
        "2-6",
        "*/15",
        "0/15",
        "L",
        "6L",
        "6#3",
        "MON-FRI",
        "2026",
        "@every",
        "1h",
        "every",
        "monday",
        "of",
        "month",
        "09:00",
        "*-*-*",
        "Mon..Fri",
        "PT5M",
        "cron(0",
        "*)",
        "rate(5",
        "minutes)",
        "UTC",
        "Europe/Berlin",
        "TZ=UTC",
        "$",
        "0\u{2013}7",
        "\u{feff}0",
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=0",
        "1st",
        "99",
        "W",
        "R/2026-01-01T00:00:00Z/PT1H",
    ];
    for _ in 0..super::scaled(20_000) {
        let length = draw.between(1, 8);
        let text: Vec<&str> = (0..length).map(|_| draw.of(&words)).collect();
        for reading in readings(&text.join(" ")) {
            assert!(try_read(&reading.schedule.to_string()).is_ok(), "{text:?}: {reading:?}");
        }
    }
}
