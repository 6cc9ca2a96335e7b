//! Tests schedules against the documented rules, a brute-force search and other implementations of
//! cron. Needs no services.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

extern crate polychron_shared as shared;

mod any;
mod brute_force;
mod calendar;
mod cases;
mod clocks;
mod describe;
mod dialects;
mod except;
mod oracles;
mod oracles_calendar;
mod refusals;
mod rrule;
mod rules;
mod tz;
mod years;

use shared::clock::Time;
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, ScheduleError, Spread};

/// How many random cases to try: `usual`, times `SCHEDULE_CASES` if that is set.
#[expect(clippy::disallowed_methods, reason = "the caller chooses how long to search")]
fn scaled(usual: u32) -> u32 {
    let times = std::env::var("SCHEDULE_CASES").ok().map_or(1, |times| times.parse().unwrap());
    usual * times
}

fn spread() -> Spread {
    Spread::new(TenantId(uuid::Uuid::from_u128(7)), JobId(1))
}

fn try_read(json: &str) -> Result<Schedule, ScheduleError> {
    Schedule::read(json, spread())
}

#[track_caller]
fn read(json: &str) -> Schedule {
    try_read(json).unwrap_or_else(|error| panic!("{json}: {}", error.annotated()))
}

#[track_caller]
fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// Checks that the occurrences in `from..until` are `expected` when searched forwards and backwards
/// and when counted.
#[track_caller]
fn check(json: &str, from: &str, until: &str, expected: &[&str]) {
    let schedule = read(json);
    let (from, until) = (time(from), time(until));
    let tick = chrono::TimeDelta::microseconds(1);
    let expected: Vec<Time> = expected.iter().map(|text| time(text)).collect();
    let mut forwards = Vec::new();
    let mut next = schedule.next_after(from - tick);
    while let Some(found) = next.filter(|found| *found < until) {
        forwards.push(found);
        next = schedule.next_after(found);
    }
    assert_eq!(forwards, expected, "{json} from {from} to {until}");
    let mut backwards = Vec::new();
    let mut prev = schedule.prev_before(until);
    while let Some(found) = prev.filter(|found| *found >= from) {
        backwards.push(found);
        prev = schedule.prev_before(found);
    }
    backwards.reverse();
    assert_eq!(backwards, expected, "{json} backwards from {until} to {from}");
    assert_eq!(schedule.count(from - tick, until - tick), expected.len() as u64, "{json} counted");
    assert_eq!(schedule.latest(from - tick, until - tick), expected.last().copied());
}
