//! When a job is due.
//!
//! This is the second file on a job's path through the code: `job.rs` comes before it, and next is
//! `producer/src/dispatcher.rs`, which asks for the next occurrence when one is due.
//!
//! A schedule is a set of instants, its *occurrences*, in one of three forms: a cron expression in
//! a time zone (`cron`), a period (`every`; with a `timezone` a calendar interval), or a single
//! instant (`at`). All functions here
//! are queries over that set. The set depends only on the schedule's text, the job's [`Spread`] and
//! the time zone rules. `docs/schedules.md` documents the syntax.
//!
//! A cron expression is parsed by `expression` (with `part`, `field`, `item` and `days`). `wall_clock`
//! enumerates the local times that it matches, and `cron` maps those to instants with the clock
//! changes listed in `zone`.

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
mod set;
mod spread;
mod wall_clock;
mod zone;
mod zone_alias;
mod zone_rules;

pub use cron::{Fold, Gap};
pub use dialect::{Reading, readings};
pub use error::ScheduleError;
pub use explain::{ClockChange, Explained};
pub use patch::{Patch, Patched};
pub use spread::Spread;
pub use zone::Zone;
pub use zone_rules::ZoneRules;

use crate::clock::Time;
use calendar::{CalendarRule, Step};
use cron::CronRule;
use expression::Expression;
use json::Fields;
use wall_clock::WallClock;

const SECOND: i64 = 1_000_000;

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

#[derive(Clone, Debug)]
enum Rule {
    Cron(Box<CronRule>),
    Calendar(Box<CalendarRule>),
    /// In microseconds; `from` is since 1970.
    Every {
        period: i64,
        from: i64,
    },
    /// In microseconds since 1970.
    At {
        at: i64,
        zone: Zone,
    },
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

    /// The same, whatever languages the text could be in.
    fn parse(json: &str, spread: Spread) -> Result<Schedule, ScheduleError> {
        let fields = Fields::read(json)?;
        let rule = Rule::read(&fields, spread)?;
        let delay = read_delay(&fields, &rule, spread)?;
        let start = fields.time("start")?.map_or(i64::MIN, micros);
        let end = fields.time("end")?.map_or(zone::END * SECOND - 1, micros);
        if end < start {
            return Err(ScheduleError::new("end", "is before `start`"));
        }
        let schedule = Schedule { rule, delay, start, end };
        if schedule.first().is_none() {
            let field = if fields.text("end")?.is_some() { "end" } else { "start" };
            let error = ScheduleError::new(field, "leaves no occurrence");
            return Err(error.remedy("the schedule has no time between `start` and `end`"));
        }
        Ok(schedule)
    }

    /// The first occurrence to arm for a schedule that took effect at `since`: the first one after
    /// it. A single instant (`at`) is armed even if it is past, because the misfire policy decides
    /// whether that is too late.
    pub fn first_after(&self, since: Time) -> Option<Time> {
        match self.rule {
            Rule::At { .. } => self.first(),
            Rule::Cron(_) | Rule::Calendar(_) | Rule::Every { .. } => self.next_after(since),
        }
    }

    /// The first occurrence later than `after`; none if there are no more.
    pub fn next_after(&self, after: Time) -> Option<Time> {
        let after = micros(after).max(self.start.saturating_sub(1));
        let next = self.rule.next(after.saturating_sub(self.delay))? + self.delay;
        if next <= self.end { time(next) } else { None }
    }

    /// The last occurrence earlier than `before`.
    pub fn prev_before(&self, before: Time) -> Option<Time> {
        self.prev(micros(before))
    }

    /// The last occurrence later than `after` and not later than `until`.
    pub fn latest(&self, after: Time, until: Time) -> Option<Time> {
        self.prev(micros(until) + 1).filter(|latest| *latest > after)
    }

    /// How many occurrences are later than `after` and not later than `until`. It does not
    /// enumerate them: a year of seconds takes as long as a year of days.
    pub fn count(&self, after: Time, until: Time) -> u64 {
        let after = micros(after).max(self.start.saturating_sub(1));
        let until = micros(until).min(self.end);
        if until <= after {
            return 0;
        }
        self.rule.count(after.saturating_sub(self.delay), until.saturating_sub(self.delay))
    }

    fn prev(&self, before: i64) -> Option<Time> {
        let before = before.min(self.end + 1);
        let prev = self.rule.prev(before.saturating_sub(self.delay))? + self.delay;
        if prev >= self.start { time(prev) } else { None }
    }

    /// The schedule's first occurrence.
    fn first(&self) -> Option<Time> {
        self.next_after(Time::MIN)
    }
}

impl Rule {
    fn read(fields: &Fields, spread: Spread) -> Result<Rule, ScheduleError> {
        if let Some(expression) = fields.text("cron")? {
            return read_cron(expression, fields, spread);
        }
        if let (Some(period), Some(zone)) = (fields.text("every")?, fields.zone("timezone")?) {
            return read_calendar(period, zone, fields);
        }
        if let Some(period) = fields.seconds("every")? {
            let from = fields.time("from")?.map_or(0, micros);
            return Ok(Rule::Every { period: period * SECOND, from });
        }
        match fields.time("at")? {
            Some(at) => {
                let zone = fields.zone("timezone")?.unwrap_or_else(Zone::utc);
                Ok(Rule::At { at: micros(at), zone })
            }
            None => Err(ScheduleError::new("schedule", "has none of `cron`, `every` and `at`")),
        }
    }

    /// The first occurrence after `after`, in microseconds, without jitter, `start` and `end`.
    fn next(&self, after: i64) -> Option<i64> {
        match self {
            // Occurrences are whole seconds: those after 1.5 s are those after 1 s.
            Rule::Cron(rule) => Some(rule.next(after.div_euclid(SECOND))? * SECOND),
            Rule::Calendar(rule) => rule.next(after),
            Rule::Every { period, from } if after >= *from => {
                Some(after - (after - from) % period + period)
            }
            Rule::Every { from, .. } => Some(*from),
            Rule::At { at, .. } => Some(*at).filter(|at| *at > after),
        }
    }

    /// The last occurrence before `before`.
    fn prev(&self, before: i64) -> Option<i64> {
        match self {
            Rule::Cron(rule) => {
                // Occurrences are whole seconds: those before 1.5 s are those before 2 s.
                let seconds = before.div_euclid(SECOND);
                let whole = before.rem_euclid(SECOND) == 0;
                Some(rule.prev(if whole { seconds } else { seconds + 1 })? * SECOND)
            }
            Rule::Calendar(rule) => rule.prev(before),
            Rule::Every { period, from } => {
                let last = before - 1;
                (last >= *from).then(|| last - (last - from) % period)
            }
            Rule::At { at, .. } => Some(*at).filter(|at| *at < before),
        }
    }

    /// How many occurrences are later than `after` and not later than `until`.
    fn count(&self, after: i64, until: i64) -> u64 {
        match self {
            Rule::Cron(rule) => rule.count(after.div_euclid(SECOND), until.div_euclid(SECOND)),
            Rule::Calendar(rule) => rule.count(after, until),
            Rule::Every { period, from } => {
                let up_to = |time: i64| if time < *from { 0 } else { (time - from) / period + 1 };
                (up_to(until) - up_to(after)).unsigned_abs()
            }
            Rule::At { at, .. } => u64::from(after < *at && *at <= until),
        }
    }

    /// The shortest time between two occurrences, in seconds, ignoring clock changes; none if it
    /// is longer than `limit`.
    fn period_within(&self, limit: i64) -> Option<i64> {
        match self {
            Rule::Cron(rule) => rule.wall.period_within(limit),
            Rule::Calendar(rule) => Some(rule.period()).filter(|period| *period <= limit),
            Rule::Every { period, .. } => Some(period / SECOND).filter(|period| *period <= limit),
            Rule::At { .. } => None,
        }
    }
}

fn read_cron(text: &str, fields: &Fields, spread: Spread) -> Result<Rule, ScheduleError> {
    let zone = fields.zone("timezone")?.unwrap_or_else(Zone::utc);
    let gap = fields.variant("gap")?.unwrap_or(Gap::First);
    let fold = fields.variant("fold")?.unwrap_or(Fold::First);
    let expression = Expression::read(text, spread)?;
    let wall = WallClock::new(expression)
        .map_err(|error| ScheduleError::new("cron", format!("is invalid: {error}")))?;
    let rule = CronRule::new(wall, zone, gap, fold);
    if rule.next(zone::FIRST - 1).is_none() {
        let error = ScheduleError::new("cron", "never matches: there is no such day before 2101");
        return Err(error.at(text, 0..text.len()).remedy("check its day and month fields"));
    }
    Ok(Rule::Cron(Box::new(rule)))
}

/// A period on the calendar of a zone.
fn read_calendar(text: &str, zone: Zone, fields: &Fields) -> Result<Rule, ScheduleError> {
    let Some(step) = Step::read(text) else {
        let message = format!("can't be used with `every` of `{}`", error::shown(text));
        let remedy =
            "leave it out, or count whole days, weeks, months or years: 10d, 2w, 3 months, 1y";
        return Err(ScheduleError::new("timezone", message).remedy(remedy));
    };
    let Some(from) = fields.local_time("from", &zone)? else {
        let error = ScheduleError::new("from", "is missing: the first local time of the interval");
        return Err(error.remedy(r#"write "from":"2026-01-02T09:00:00" for 09:00 on every date"#));
    };
    Ok(Rule::Calendar(Box::new(CalendarRule::new(step, zone, from))))
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
