//! Exceptions (`except`), case by case and beside a search of all times.

use chrono::{Datelike, NaiveDate, TimeDelta};
use shared::clock::Time;

use super::cases::Draw;
use super::{check, read, scaled, time, try_read};

#[test]
fn dates_ranges_yearly_dates_and_times_are_left_out() {
    let json = |except: &str| {
        format!(r#"{{"cron":"0 9 * * *","timezone":"Europe/London","except":[{except}]}}"#)
    };
    let december = |except: &str, expected: &[u32]| {
        let expected: Vec<String> =
            expected.iter().map(|day| format!("2026-12-{day:02}T09:00:00Z")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&json(except), "2026-12-22T00:00:00Z", "2026-12-31T00:00:00Z", &expected);
    };
    december(r#""2026-12-25""#, &[22, 23, 24, 26, 27, 28, 29, 30]);
    december(r#""2026-12-24/2027-01-02""#, &[22, 23]);
    december(r#""12-25","12-26""#, &[22, 23, 24, 27, 28, 29, 30]);
    december(r#""12-24/01-02","2026-12-23""#, &[22]);
    december(r#""12-29/12-24""#, &[25, 26, 27, 28]);
    december(
        r#""2026-12-25T09:00:00","2026-12-26T09:00:00Z","2026-12-27T10:00:00+01:00""#,
        &[22, 23, 24, 28, 29, 30],
    );
    december(r#""2026-12-25T09:00:01""#, &[22, 23, 24, 25, 26, 27, 28, 29, 30]);
    // Overlapping and adjacent entries count once.
    december(r#""2026-12-24/2026-12-26","2026-12-25/2026-12-28","12-28""#, &[22, 23, 29, 30]);
    // A single entry needs no list.
    let single = r#"{"cron":"0 9 * * *","except":"12-25/12-31"}"#;
    check(single, "2026-12-25T00:00:00Z", "2027-01-01T00:00:00Z", &[]);
}

#[test]
fn a_range_that_begins_or_ends_on_29_february_exists_in_every_year() {
    for (except, year, expected) in [
        ("02-29/03-01", 2027, &["02-26", "02-27", "02-28", "03-02"][..]),
        ("02-28/02-29", 2027, &["02-26", "02-27", "03-01", "03-02"]),
        ("02-28/02-29", 2028, &["02-26", "02-27", "03-01", "03-02"]),
        ("02-29", 2028, &["02-26", "02-27", "02-28", "03-01", "03-02"]),
        ("02-29", 2027, &["02-26", "02-27", "02-28", "03-01", "03-02"]),
    ] {
        let json = format!(r#"{{"cron":"0 0 * * *","except":["{except}"]}}"#);
        let expected: Vec<String> =
            expected.iter().map(|date| format!("{year}-{date}T00:00:00Z")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let window = ["02-26", "03-03"].map(|date| format!("{year}-{date}T00:00:00Z"));
        check(&json, &window[0], &window[1], &expected);
    }
}

#[test]
fn a_date_is_that_of_the_schedules_zone_before_jitter() {
    let json = r#"{"cron":"0 20 * * *","timezone":"America/New_York","except":["2026-12-25"],"jitter":"5h"}"#;
    let schedule = read(json);
    let first = schedule.next_after(time("2026-12-24T00:00:00Z")).unwrap();
    // 20:00 on the 24th is the 25th in UTC, and with jitter perhaps in New York, too.
    let second =
        schedule.next_after(time("2026-12-25T01:00:00Z") - TimeDelta::microseconds(1)).unwrap();
    let third = schedule.next_after(second).unwrap();
    assert_eq!(second - first, TimeDelta::days(1));
    assert_eq!(third - second, TimeDelta::days(2));
    let every = r#"{"any":[{"every":"12h"}],"timezone":"Asia/Tokyo","except":["2026-12-25"]}"#;
    let around = ["2026-12-24T12:00:00Z", "2026-12-26T00:00:00Z"];
    check(every, "2026-12-24T01:00:00Z", "2026-12-26T01:00:00Z", &around);
}

#[test]
fn a_repeated_time_is_left_out_in_both_passes() {
    let json = r#"{"cron":"30 1 * * *","timezone":"America/New_York","fold":"both","except":["2026-11-01T01:30:00"]}"#;
    let around = ["2026-10-31T05:30:00Z", "2026-11-02T06:30:00Z"];
    check(json, "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z", &around);
    // A skipped one is left out at the instant that it moves to.
    let json =
        r#"{"cron":"30 2 * * *","timezone":"America/New_York","except":["2026-03-08T02:30:00"]}"#;
    check(json, "2026-03-08T05:00:00Z", "2026-03-09T07:00:00Z", &["2026-03-09T06:30:00Z"]);
}

#[test]
fn an_hour_that_clocks_repeat_across_midnight_is_part_of_the_new_date() {
    // At 00:01 of the 7th, the clocks of St John's went back to 23:01 of the 6th.
    let json = |except: &str| {
        format!(
            r#"{{"cron":"30 23 * * *","timezone":"America/St_Johns","fold":"both","except":["{except}"]}}"#
        )
    };
    let window = ["2010-11-06T00:00:00Z", "2010-11-08T12:00:00Z"];
    let [on_5th, on_6th, again] =
        ["2010-11-06T02:00:00Z", "2010-11-07T02:00:00Z", "2010-11-07T03:00:00Z"];
    let on_7th = "2010-11-08T03:00:00Z";
    for (except, expected) in [
        ("2010-11-06", &[on_5th, again, on_7th][..]),
        ("2010-11-07", &[on_5th, on_6th]),
        ("11-06", &[on_5th, again, on_7th]),
        ("2010-11-06/2010-11-07", &[on_5th]),
    ] {
        check(&json(except), window[0], window[1], expected);
    }
}

#[test]
fn a_date_that_clocks_skip_can_be_left_out() {
    // Samoa had no 30 December 2011.
    let json = |except: &str| {
        format!(
            r#"{{"cron":"0 12 * * *","timezone":"Pacific/Apia","gap":"skip","except":["{except}"]}}"#
        )
    };
    let window = ["2011-12-28T12:00:00Z", "2012-01-01T12:00:00Z"];
    let [on_28th, on_29th] = ["2011-12-28T22:00:00Z", "2011-12-29T22:00:00Z"];
    let [on_31st, on_1st] = ["2011-12-30T22:00:00Z", "2011-12-31T22:00:00Z"];
    for (except, expected) in [
        ("2011-12-30", &[on_28th, on_29th, on_31st, on_1st][..]),
        ("2011-12-29/2011-12-30", &[on_28th, on_31st, on_1st]),
        ("12-30/12-31", &[on_28th, on_29th, on_1st]),
    ] {
        check(&json(except), window[0], window[1], expected);
    }
}

#[test]
fn what_leaves_out_nothing_or_everything_is_refused() {
    let many = vec![r#""12-25""#; 201].join(",");
    for (except, says) in [
        (r#"["soon"]"#, "except: `soon` isn't a time"),
        (r#"["soon"]"#, "; write dates: 2026-12-25"),
        (r#"["2026-13-01"]"#, "except: `2026-13-01`: month 13 does not exist; write dates"),
        (r#"["2026-04-31"]"#, "`2026-04-31`: April 2026 has no day 31"),
        (r#"["2026-12-24/2027-01-32"]"#, "`2026-12-24/2027-01-32`: day 32 does not exist"),
        (r#"["2026-12-25T25:00:00"]"#, "`2026-12-25T25:00:00`: hour 25 does not exist"),
        (r#"["2026-1-5"]"#, "`2026-1-5` isn't a time (it is incomplete)"),
        (r#"["02-30"]"#, "`02-30`: February has no day 30"),
        (r#"["2026-12-25/12-26"]"#, "isn't a time"),
        (r#"["2026-12-26/2026-12-25"]"#, "ends before it begins"),
        (r#"["1969-12-25"]"#, "outside the years 1970 to 2100"),
        (r#"["9999-12-25T00:00:00"]"#, "outside the years 1970 to 2100"),
        (r#"[20261225]"#, "except: must be a list of strings"),
        (r#"{"from":"2026-12-25"}"#, "except: must be a list of strings"),
        (r#"["01-01/12-31"]"#, "except: leaves no occurrence; remove some of its dates"),
        (r#"["1970-01-01/2100-12-31"]"#, "except: leaves no occurrence"),
        (&format!("[{many}]"), "has 201 entries, more than 200; write ranges"),
    ] {
        let json = format!(r#"{{"cron":"*/7 * * * * *","except":{except}}}"#);
        let error = try_read(&json).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
    let yearly = r#"{"cron":"0 0 25 12 *","except":["12-25"]}"#;
    assert!(try_read(yearly).unwrap_err().to_string().contains("except: leaves no occurrence"));
    let once = r#"{"at":"2026-12-25T00:00:00Z","except":["12-25"]}"#;
    assert!(try_read(once).unwrap_err().to_string().contains("except: can't be used with `at`"));
}

#[test]
fn exceptions_are_described() {
    let words = |json: &str| read(json).describe();
    assert_eq!(
        words(
            r#"{"cron":"0 9 * * 1-5","timezone":"Europe/London",
                  "except":["2026-12-28","2027-01-04/2027-01-08","12-25","12-24/01-01","2027-02-01T09:00:00"]}"#
        ),
        "at 09:00 on Monday to Friday, London time, except on 2026-12-28, 2027-01-04 to 2027-01-08, \
         25 December, 24 December to 1 January and 2027-02-01 09:00, London time"
    );
    let eight = r#"{"every":"1h","except":["01-01","01-02","01-03","01-04","01-05","01-06","01-07","01-08"]}"#;
    assert!(words(eight).ends_with("5 January, 6 January and 2 more"), "{}", words(eight));
}

#[test]
fn a_search_of_all_times_finds_the_same() {
    let draw = Draw::seeded(12);
    let tick = TimeDelta::microseconds(1);
    for _ in 0..scaled(150) {
        let zone = draw.zone();
        let (from, _) = draw.instant(zone);
        let until = from + TimeDelta::days(20);
        let date = |text: NaiveDate| text.format("%Y-%m-%d").to_string();
        let local = |at: Time| at.with_timezone(&zone).date_naive();
        let near = |days: u32| local(from) + TimeDelta::days(i64::from(draw.below(days)));
        let (first, single) = (near(15), near(20));
        let last = first + TimeDelta::days(i64::from(draw.below(4)));
        if single.year() < 1971 {
            continue;
        }
        let yearly = near(20);
        let plain = format!(
            r#""cron":"{} */{} * * *","timezone":"{}""#,
            draw.below(60),
            1 + draw.below(9),
            zone.name()
        );
        let json = format!(
            r#"{{{plain},"except":["{}/{}","{}","{}"]}}"#,
            date(first),
            date(last),
            date(single),
            yearly.format("%m-%d")
        );
        let without = read(&format!("{{{plain}}}"));
        let following = |at: &Time| without.next_after(*at);
        let times = std::iter::successors(without.next_after(from - tick), following);
        let is_left = |at: &Time| {
            let date = local(*at);
            let in_year = (date.month(), date.day()) == (yearly.month(), yearly.day());
            !(first..=last).contains(&date) && date != single && !in_year
        };
        let expected: Vec<Time> = times.take_while(|at| *at < until).filter(is_left).collect();
        let expected: Vec<String> = expected.iter().map(|at| at.to_rfc3339()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&json, &from.to_rfc3339(), &until.to_rfc3339(), &expected);
    }
}
