//! The wall-clock times that a cron expression matches, ignoring clock changes.
//!
//! The `cron` crate enumerates them. It gets explicit lists of numbers only, because it reads cron
//! syntax differently (it numbers weekdays from 1 and requires both day fields to match). It runs
//! in UTC only: in other zones it repeats and skips times and can return times in the past.
//!
//! Times in this file are local time in seconds since 1970-01-01 00:00 local time.

use chrono::{DateTime, NaiveDate};

use super::days::Days;
use super::expression::Expression;
use super::set::Set;
use super::zone::{END, FIRST};

const DAY: i64 = 86_400;

/// Enumerates the times of one expression.
#[derive(Clone, Debug)]
pub(super) struct WallClock {
    /// One for both day fields together, or one for each of them.
    branches: Vec<Branch>,
    expression: Expression,
}

#[derive(Clone, Debug)]
struct Branch {
    candidates: ::cron::Schedule,
    /// Whether the days of the candidates must be checked, because of `L`, `W` or `#`.
    filtered: bool,
}

impl WallClock {
    pub(super) fn new(expression: Expression) -> Result<WallClock, ::cron::error::Error> {
        let mut branches = Vec::new();
        for days in candidates(&expression.days) {
            let mut lists = vec![
                list(expression.seconds, 0, 59, 0),
                list(expression.minutes, 0, 59, 0),
                list(expression.hours, 0, 23, 0),
                list(days.of_month, 1, 31, 0),
                list(expression.days.months, 1, 12, 0),
                // The crate's Sunday is 1.
                list(days.of_week, 0, 6, 1),
            ];
            if let Some(years) = &expression.days.years {
                let runs = years.runs().into_iter();
                let runs: Vec<String> =
                    runs.map(|(first, last)| format!("{first}-{last}")).collect();
                lists.push(runs.join(","));
            }
            let candidates = lists.join(" ").parse()?;
            branches.push(Branch { candidates, filtered: days.filtered });
        }
        Ok(WallClock { branches, expression })
    }

    /// The expression.
    pub(super) fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The first match at or after `from`.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        self.branches.iter().filter_map(|branch| self.next_of(branch, from)).min()
    }

    /// The last match before `until`.
    pub(super) fn prev(&self, until: i64) -> Option<i64> {
        self.branches.iter().filter_map(|branch| self.prev_of(branch, until)).max()
    }

    /// How many matches are in `from..until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        let (from, until) = (from.clamp(FIRST, END), until.clamp(FIRST, END));
        if from >= until {
            return 0;
        }
        let (first, last) = (from.div_euclid(DAY), until.div_euclid(DAY));
        let whole_days = (first..last).filter(|day| self.has_day(*day)).count() as u64;
        let in_day = |day, second| if self.has_day(day) { self.count_before(second) } else { 0 };
        whole_days * self.count_before(DAY) + in_day(last, until.rem_euclid(DAY))
            - in_day(first, from.rem_euclid(DAY))
    }

    /// The shortest time between two matches, in seconds; none if it is longer than `limit`.
    pub(super) fn period_within(&self, limit: i64) -> Option<i64> {
        let Expression { seconds, minutes, hours, .. } = &self.expression;
        let minutes =
            hours.values().flat_map(|hour| minutes.values().map(move |min| hour * 60 + min));
        let mut times = minutes
            .flat_map(|minute| seconds.values().map(move |second| i64::from(minute * 60 + second)));
        let first = times.next()?;
        let (mut last, mut shortest) = (first, i64::MAX);
        for time in times {
            shortest = shortest.min(time - last);
            last = time;
        }
        // Which days match is costly to determine and matters only for a long limit.
        let overnight = first - last;
        if DAY + overnight <= limit {
            let days: Vec<i64> = (0..END / DAY).filter(|day| self.has_day(*day)).collect();
            let apart = days.windows(2).map(|pair| (pair[1] - pair[0]) * DAY + overnight).min();
            shortest = shortest.min(apart.unwrap_or(i64::MAX));
        }
        Some(shortest).filter(|shortest| *shortest <= limit)
    }

    fn next_of(&self, branch: &Branch, from: i64) -> Option<i64> {
        let mut after = from.max(FIRST) - 1;
        loop {
            let found = branch.candidates.after(&date_time(after)?).next()?;
            if !branch.filtered || self.expression.days.matches(found.date_naive()) {
                return Some(found.timestamp());
            }
            after = (found.timestamp().div_euclid(DAY) + 1) * DAY - 1;
        }
    }

    fn prev_of(&self, branch: &Branch, until: i64) -> Option<i64> {
        let mut before = until.min(END);
        loop {
            if before <= FIRST {
                return None;
            }
            let found = branch.candidates.after(&date_time(before)?).next_back()?;
            if !branch.filtered || self.expression.days.matches(found.date_naive()) {
                return Some(found.timestamp());
            }
            before = found.timestamp().div_euclid(DAY) * DAY;
        }
    }

    fn has_day(&self, day: i64) -> bool {
        let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
        date.is_some_and(|date| self.expression.days.matches(date))
    }

    /// How many matches a matching day has before its `second`.
    fn count_before(&self, second: i64) -> u64 {
        let [hour, minute, second] = hour_minute_second(second);
        let Expression { seconds, minutes, hours, .. } = &self.expression;
        let per_minute = u64::from(seconds.count());
        let per_hour = u64::from(minutes.count()) * per_minute;
        let mut count = u64::from(hours.count_below(hour)) * per_hour;
        if hours.has(hour) {
            count += u64::from(minutes.count_below(minute)) * per_minute;
            if minutes.has(minute) {
                count += u64::from(seconds.count_below(second));
            }
        }
        count
    }
}

/// The days that one branch enumerates: a superset of the days that it matches.
struct Candidates {
    of_month: Set,
    of_week: Set,
    filtered: bool,
}

/// The candidates of each branch.
fn candidates(days: &Days) -> Vec<Candidates> {
    let by_month = Candidates {
        of_month: days.of_month.candidates(),
        of_week: Set::range(0, 6),
        filtered: !days.of_month.special.is_empty(),
    };
    let by_week = Candidates {
        of_month: days.of_week.candidates(),
        of_week: days.of_week.weekdays(),
        filtered: !days.of_week.special.is_empty(),
    };
    if days.either {
        return vec![by_month, by_week];
    }
    let of_month = by_month.of_month.intersection(by_week.of_month);
    if of_month.is_empty() {
        // The fields contradict each other, and the crate rejects an empty list.
        return Vec::new();
    }
    let filtered = by_month.filtered || by_week.filtered;
    vec![Candidates { of_month, of_week: by_week.of_week, filtered }]
}

fn hour_minute_second(second: i64) -> [u32; 3] {
    [second / 3600, second / 60 % 60, second % 60].map(|number| number as u32)
}

fn date_time(seconds: i64) -> Option<DateTime<chrono::Utc>> {
    DateTime::from_timestamp(seconds, 0)
}

/// The set in the syntax of the crate, with `shift` added to each number.
fn list(set: Set, first: u32, last: u32, shift: u32) -> String {
    if set == Set::range(first, last) {
        return "*".to_owned();
    }
    let numbers: Vec<String> = set.values().map(|value| (value + shift).to_string()).collect();
    numbers.join(",")
}
