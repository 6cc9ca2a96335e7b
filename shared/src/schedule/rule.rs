//! The forms of a schedule, and which times each names. Times are microseconds since 1970, without
//! jitter, `start` and `end`.

pub(super) mod except;

use std::sync::LazyLock;

use super::any::AnyRule;
use super::calendar::{CalendarRule, Step};
use super::cron::{Change, CronRule, Fold, Gap};
use super::error::{self, ScheduleError};
use super::expression::Expression;
use super::json::Fields;
use super::rrule::RecurrenceRule;
use super::spread::Spread;
use super::wall_clock::WallClock;
use super::years::Years;
use super::zone::{self, Zone};
use super::{SECOND, micros};
use except::ExceptRule;

#[derive(Clone, Debug)]
pub(super) enum Rule {
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
    Any(Box<AnyRule>),
    Except(Box<ExceptRule>),
    Recurrence(Box<RecurrenceRule>),
}

impl Rule {
    pub(super) fn read(fields: &Fields, spread: Spread) -> Result<Rule, ScheduleError> {
        let rule = Rule::read_form(fields, spread)?;
        if !fields.has("except") {
            return Ok(rule);
        }
        Ok(Rule::Except(Box::new(ExceptRule::read(rule, fields)?)))
    }

    fn read_form(fields: &Fields, spread: Spread) -> Result<Rule, ScheduleError> {
        if let Some(expression) = fields.text("cron")? {
            return read_cron(expression, fields, spread);
        }
        if let Some(rule) = fields.text("rrule")? {
            return Ok(Rule::Recurrence(Box::new(RecurrenceRule::read(rule, fields)?)));
        }
        if !fields.members().is_empty() {
            return Ok(Rule::Any(Box::new(AnyRule::read(fields, spread)?)));
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
            None => Err(ScheduleError::new("schedule", "has none of the forms")),
        }
    }

    /// The first occurrence after `after`, in microseconds, without jitter, `start` and `end`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        match self {
            // Occurrences are whole seconds: those after 1.5 s are those after 1 s.
            Rule::Cron(rule) => Some(rule.next(after.div_euclid(SECOND))? * SECOND),
            Rule::Calendar(rule) => rule.next(after),
            Rule::Every { period, from } if after >= *from => {
                Some(after - (after - from) % period + period)
            }
            Rule::Every { from, .. } => Some(*from),
            Rule::At { at, .. } => Some(*at).filter(|at| *at > after),
            Rule::Any(rule) => rule.next(after),
            Rule::Except(rule) => rule.next(after),
            Rule::Recurrence(rule) => rule.next(after),
        }
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
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
            Rule::Any(rule) => rule.prev(before),
            Rule::Except(rule) => rule.prev(before),
            Rule::Recurrence(rule) => rule.prev(before),
        }
    }

    /// How many occurrences are later than `after` and not later than `until`.
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        match self {
            Rule::Cron(rule) => rule.count(after.div_euclid(SECOND), until.div_euclid(SECOND)),
            Rule::Calendar(rule) => rule.count(after, until),
            Rule::Every { period, from } => {
                let up_to = |time: i64| if time < *from { 0 } else { (time - from) / period + 1 };
                (up_to(until) - up_to(after)).unsigned_abs()
            }
            Rule::At { at, .. } => u64::from(after < *at && *at <= until),
            Rule::Any(rule) => rule.count(after, until),
            Rule::Except(rule) => rule.count(after, until),
            Rule::Recurrence(rule) => rule.count(after, until),
        }
    }

    /// The shortest time between two occurrences, in seconds, ignoring clock changes; none if it
    /// is longer than `limit`.
    pub(super) fn period_within(&self, limit: i64) -> Option<i64> {
        match self {
            Rule::Cron(rule) => rule.wall.period_within(limit),
            Rule::Calendar(rule) => Some(rule.period()).filter(|period| *period <= limit),
            Rule::Every { period, .. } => Some(period / SECOND).filter(|period| *period <= limit),
            Rule::At { .. } => None,
            Rule::Any(rule) => rule.period_within(limit),
            Rule::Except(rule) => rule.rule.period_within(limit),
            Rule::Recurrence(rule) => Some(rule.period()).filter(|period| *period <= limit),
        }
    }

    /// The zone of its local times; UTC if it has none.
    pub(super) fn zone(&self) -> &Zone {
        static UTC: LazyLock<Zone> = LazyLock::new(Zone::utc);
        match self {
            Rule::Cron(rule) => &rule.zone,
            Rule::Calendar(rule) => &rule.zone,
            Rule::Any(rule) => &rule.zone,
            Rule::Except(rule) => rule.rule.zone(),
            Rule::Recurrence(rule) => &rule.zone,
            Rule::At { zone, .. } => zone,
            Rule::Every { .. } => &UTC,
        }
    }

    /// Whether its words name the zone.
    pub(super) fn says_zone(&self) -> bool {
        match self {
            Rule::Cron(_) | Rule::Calendar(_) | Rule::Recurrence(_) => true,
            Rule::Except(rule) => rule.rule.says_zone(),
            Rule::Every { .. } | Rule::At { .. } | Rule::Any(_) => false,
        }
    }

    /// Whether counting its occurrences takes as long as enumerating them.
    pub(super) fn is_enumerated(&self) -> bool {
        match self {
            Rule::Any(_) | Rule::Recurrence(_) => true,
            Rule::Except(rule) => rule.rule.is_enumerated(),
            Rule::Cron(_) | Rule::Calendar(_) | Rule::Every { .. } | Rule::At { .. } => false,
        }
    }

    /// How a clock change affected the occurrence at `instant`, in microseconds without jitter.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        match self {
            Rule::Cron(rule) => rule.clock_change(instant.div_euclid(SECOND)),
            Rule::Calendar(rule) => rule.clock_change(instant),
            Rule::Any(rule) => rule.clock_change(instant),
            Rule::Except(rule) => rule.rule.clock_change(instant),
            Rule::Recurrence(rule) => rule.clock_change(instant),
            Rule::At { .. } | Rule::Every { .. } => None,
        }
    }
}

fn read_cron(text: &str, fields: &Fields, spread: Spread) -> Result<Rule, ScheduleError> {
    let zone = fields.zone("timezone")?.unwrap_or_else(Zone::utc);
    let gap = fields.variant("gap")?.unwrap_or(Gap::First);
    let fold = fields.variant("fold")?.unwrap_or(Fold::First);
    let mut expression = Expression::read(text, spread)?;
    expression.days.years = fields.list("years")?.map(|text| Years::read(&text)).transpose()?;
    let wall = WallClock::new(expression)
        .map_err(|error| ScheduleError::new("cron", format!("is invalid: {error}")))?;
    let rule = CronRule::new(wall, zone, gap, fold);
    if rule.next(zone::FIRST - 1).is_none() {
        let error = ScheduleError::new("cron", "never matches: there is no such day before 2101");
        return Err(error.at(text, 0..text.len()).remedy(match fields.has("years") {
            true => "check its day and month fields and its `years`",
            false => "check its day and month fields",
        }));
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
