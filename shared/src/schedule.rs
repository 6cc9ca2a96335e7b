//! When a job is due.
//!
//! This is the second file on a job's path through the code: `job.rs` comes before it, and next is
//! `producer/src/dispatcher.rs`, which asks for the next occurrence when one is due.
//!
//! A schedule is a set of instants, its *occurrences*, in one of five forms: a cron expression in
//! a time zone (`cron`), a period (`every`; with a `timezone` a calendar interval), a single
//! instant (`at`), a recurrence rule of calendars (`rrule`), or the union of several of these
//! (`any`), without those in `except`. All functions here are queries over that set. It depends only
//! on the schedule's text, the job's [`Spread`] and the time zone rules. `docs/schedules.md` documents
//! the syntax.
//!
//! A cron expression is parsed by `expression` (with `part`, `field`, `item` and `days`). `wall_clock`
//! enumerates the local times that it matches, and `cron` maps those to instants with the clock
//! changes listed in `zone`.

mod any;
mod calendar;
mod cron;
mod days;
mod describe;
mod dialect;
mod error;
mod explain;
mod expression;
mod field;
mod item;
mod json;
mod part;
mod patch;
mod rrule;
mod rule;
mod set;
mod spread;
mod wall_clock;
mod years;
mod zone;
mod zone_alias;
mod zone_directory;
mod zone_rules;

pub use cron::{Fold, Gap};
pub use dialect::{Reading, readings};
pub use error::ScheduleError;
pub use explain::{ClockChange, Explained};
pub use patch::{Patch, Patched};
pub use spread::Spread;
pub use zone::Zone;
pub use zone_directory::{DirectoryError, ZoneDirectory};
pub use zone_rules::{EarlierRules, ZoneRules};

use std::sync::Arc;

use crate::clock::Time;
use json::Fields;
use rule::Rule;

const SECOND: i64 = 1_000_000;

/// How many occurrences are counted of a schedule whose occurrences must be enumerated. More are
/// not told apart.
pub const COUNT_MAX: u64 = 10_000;

/// A set of occurrences. Its methods truncate times to microseconds.
#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    /// The job's jitter: how long after the rule's time it is due, in microseconds.
    delay: i64,
    /// The earliest possible occurrence, in microseconds since 1970.
    start: i64,
    /// The latest possible occurrence, in microseconds since 1970.
    end: i64,
}

/// The purpose of `jitter` in [`Spread::pick`]; the cron fields use smaller numbers.
const JITTER: u64 = 100;

impl Schedule {
    /// Parses the JSON text of `job.schedule`. `H` and `jitter` are derived from `spread`.
    ///
    /// # Errors
    ///
    /// If the text is invalid or the schedule has no occurrence. If it is valid in another
    /// scheduler's language, the error says what it means there.
    pub fn read(json: &str, spread: Spread) -> Result<Schedule, ScheduleError> {
        Schedule::parse(json, spread).map_err(|error| dialect::explain(json, error))
    }

    /// The same by these time zone rules instead of the current ones.
    ///
    /// # Errors
    /// As [`read`](Schedule::read).
    pub fn read_by(
        rules: &Arc<ZoneRules>,
        json: &str,
        spread: Spread,
    ) -> Result<Schedule, ScheduleError> {
        rules.during(|| Schedule::parse(json, spread))
    }

    /// The same, whatever languages the text could be in.
    fn parse(json: &str, spread: Spread) -> Result<Schedule, ScheduleError> {
        Schedule::of(&Fields::read(json)?, spread)
    }

    fn of(fields: &Fields, spread: Spread) -> Result<Schedule, ScheduleError> {
        let rule = Rule::read(fields, spread)?;
        let delay = read_delay(fields, &rule, spread)?;
        // That of a recurrence rule is its first time, and is in the rule.
        let is_bound = !fields.has("rrule");
        let start = if is_bound { fields.time("start")? } else { None };
        let start = start.map_or(i64::MIN, micros);
        let end = fields.time("end")?.map_or(zone::END * SECOND - 1, micros);
        if end < start {
            return Err(ScheduleError::new("end", "is before `start`"));
        }
        let schedule = Schedule { rule, delay, start, end };
        if schedule.first().is_none() {
            let between = "the schedule has no time between `start` and `end`";
            let (field, remedy) = if fields.has("except") {
                ("except", "remove some of its dates")
            } else if fields.has("end") {
                ("end", between)
            } else {
                ("start", between)
            };
            return Err(ScheduleError::new(field, "leaves no occurrence").remedy(remedy));
        }
        Ok(schedule)
    }

    /// The first occurrence to arm for a schedule that took effect at `since`: the first one after
    /// it. A single instant (`at`) is armed even if it is past, because the misfire policy decides
    /// whether that is too late.
    pub fn first_after(&self, since: Time) -> Option<Time> {
        if let Rule::At { .. } = self.rule { self.first() } else { self.next_after(since) }
    }

    /// The first occurrence later than `after`; none if there are no more.
    pub fn next_after(&self, after: Time) -> Option<Time> {
        time(self.next(micros(after))?)
    }

    /// The last occurrence earlier than `before`.
    pub fn prev_before(&self, before: Time) -> Option<Time> {
        time(self.prev(micros(before))?)
    }

    /// The last occurrence later than `after` and not later than `until`.
    pub fn latest(&self, after: Time, until: Time) -> Option<Time> {
        time(self.prev(micros(until) + 1)?).filter(|latest| *latest > after)
    }

    /// How many occurrences are later than `after` and not later than `until`. It does not
    /// enumerate them: a year of seconds takes as long as a year of days. Only those of several
    /// schedules together (`any`) must be enumerated; it stops at [`COUNT_MAX`] of these.
    pub fn count(&self, after: Time, until: Time) -> u64 {
        let after = micros(after).max(self.start.saturating_sub(1));
        let until = micros(until).min(self.end);
        if until <= after {
            return 0;
        }
        self.rule.count(after.saturating_sub(self.delay), until.saturating_sub(self.delay))
    }

    /// How many occurrences there are from `first` to `until`. `first` counts even if the schedule
    /// does not name it, as one may that was due before an edit.
    pub fn count_from(&self, first: Time, until: Time) -> u64 {
        let count = 1 + self.count(first, until);
        if self.rule.is_enumerated() { count.min(COUNT_MAX) } else { count }
    }

    /// The first occurrence after `after`, in microseconds.
    fn next(&self, after: i64) -> Option<i64> {
        let after = after.max(self.start.saturating_sub(1));
        let next = self.rule.next(after.saturating_sub(self.delay))? + self.delay;
        (next <= self.end).then_some(next)
    }

    /// The last occurrence before `before`, in microseconds.
    fn prev(&self, before: i64) -> Option<i64> {
        let before = before.min(self.end + 1);
        let prev = self.rule.prev(before.saturating_sub(self.delay))? + self.delay;
        (prev >= self.start).then_some(prev)
    }

    /// The schedule's first occurrence.
    fn first(&self) -> Option<Time> {
        self.next_after(Time::MIN)
    }
}

/// The delay that the job's jitter adds, in microseconds. It is a whole number of seconds to keep
/// times readable.
fn read_delay(fields: &Fields, rule: &Rule, spread: Spread) -> Result<i64, ScheduleError> {
    let Some(jitter) = fields.seconds("jitter")? else { return Ok(0) };
    if let Some(period) = rule.period_within(jitter) {
        let message = format!("{jitter} s isn't less than the period of {period} s");
        return Err(ScheduleError::new("jitter", message));
    }
    let delay = spread.pick(JITTER, jitter.unsigned_abs());
    Ok(i64::try_from(delay).unwrap_or(0) * SECOND)
}

fn micros(time: Time) -> i64 {
    time.timestamp_micros()
}

fn time(micros: i64) -> Option<Time> {
    Time::from_timestamp_micros(micros)
}
