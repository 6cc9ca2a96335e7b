//! Compares recurrence rules with python-dateutil, and calendar intervals with APScheduler, by tables of
//! their answers. One of the rules below must explain each difference.

use chrono::NaiveDateTime;
use shared::clock::Time;

use super::tz::Tz;
use super::{read, time, try_read};

/// Questions with python-dateutil's answers; `dateutil_answers.py` documents how to make the table.
const RRULE: &str = include_str!("../oracles/rrule.tsv");
/// Questions with APScheduler's answers; `calendar_answers.py` documents how to make the table.
const CALENDAR: &str = include_str!("../oracles/calendar.tsv");

#[expect(clippy::disallowed_methods, reason = "a longer table is too big for the repository")]
fn table(variable: &str, short: &str) -> String {
    match std::env::var_os(variable) {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => short.to_owned(),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are shown by --nocapture")]
fn report(name: &str, equal: u32, explained: u32, unexplained: &[String]) {
    println!("{name}: {equal} answers agree, {explained} differ by a known rule");
    let some: Vec<&String> = unexplained.iter().take(20).collect();
    assert!(some.is_empty(), "{} unexplained: {some:#?}", unexplained.len());
    assert!(equal > 1500 && explained * 5 < equal, "{name}: {equal} agree, {explained} differ");
}

#[test]
fn python_dateutil_agrees() {
    let (mut equal, mut explained, mut unexplained) = (0, 0, Vec::new());
    for line in table("SCHEDULE_RRULE", RRULE).lines() {
        let [rule, start, after, theirs] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let json = format!(r#"{{"rrule":"{rule}","start":"{start}"}}"#);
        let ours = match try_read(&json) {
            Ok(schedule) => schedule.next_after(time(&format!("{after}Z"))),
            Err(error) if error.to_string().contains("never matches") => None,
            Err(error) => panic!("{json}: {error}"),
        };
        let written =
            ours.map_or("none".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%S").to_string());
        // Our schedules end with the year 2100; it searches up to the year 9999.
        let is_later = theirs == "hangs" || theirs >= "2101";
        match () {
            () if written == theirs => equal += 1,
            () if ours.is_none() && is_later => explained += 1,
            () => unexplained.push(format!("{line}: ours {written}")),
        }
    }
    report("python-dateutil", equal, explained, &unexplained);
}

#[test]
fn apscheduler_agrees() {
    let (mut equal, mut explained, mut unexplained) = (0, 0, Vec::new());
    for line in table("SCHEDULE_CALENDAR", CALENDAR).lines() {
        let [number, unit, first, zone, instant, theirs] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let at = |seconds: &str| Time::from_timestamp(seconds.parse().unwrap(), 0).unwrap();
        let json = format!(r#"{{"every":"{number} {unit}","from":"{first}","timezone":"{zone}"}}"#);
        let schedule = read(&json);
        let (ours, theirs) = (schedule.next_after(at(instant)), at(theirs));
        // It leaves out a date whose time the clocks skip; ours is due after the gap.
        let (wanted, zone): (NaiveDateTime, Tz) = (first.parse().unwrap(), Tz::named(zone));
        let mut next = ours;
        while let Some(at) = next
            && at.with_timezone(&zone).time() != wanted.time()
        {
            next = schedule.next_after(at);
        }
        match () {
            () if ours == Some(theirs) => equal += 1,
            () if ours != next && next == Some(theirs) => explained += 1,
            () if theirs >= time("2101-01-01T00:00:00Z") && next.is_none() => explained += 1,
            () => unexplained.push(format!("{line}: ours {ours:?}")),
        }
    }
    report("APScheduler", equal, explained, &unexplained);
}
