//! Occurrences as people see them: in local time, with what changes of clocks did to them.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime};

use super::cron::Change;
use super::{Rule, SECOND, Schedule, micros};
use crate::clock::Time;

/// One occurrence, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// When it is due.
    pub at: Time,
    /// The same in the schedule's time zone; in UTC if it has none.
    pub local: DateTime<FixedOffset>,
    /// Set if clocks change at its local time.
    pub change: Option<ClockChange>,
}

/// What a change of clocks did to an occurrence. `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// Its local time was skipped; it comes at the first instant after the change.
    Moved {
        /// The local time that was skipped; the first, if the occurrence stands for several.
        planned: NaiveDateTime,
    },
    /// Its local time comes twice; this is the first.
    FirstPass,
    /// Its local time comes twice; this is the second.
    SecondPass,
}

impl Schedule {
    /// The first `n` occurrences later than `after`; fewer if the schedule is used up before.
    pub fn occurrences_explained(&self, after: Time, n: usize) -> Vec<Explained> {
        let following = |before: &Time| self.next_after(*before);
        let times = std::iter::successors(self.next_after(after), following);
        times.take(n).map(|at| self.explain(at)).collect()
    }

    fn explain(&self, at: Time) -> Explained {
        let Rule::Cron(rule) = &self.rule else {
            return Explained { at, local: at.fixed_offset(), change: None };
        };
        // Clocks act on the time that the expression names, jitter aside.
        let named = (micros(at) - self.delay).div_euclid(SECOND);
        let change = rule.clock_change(named).and_then(|change| match change {
            Change::Moved { planned } => {
                let planned = DateTime::from_timestamp(planned, 0)?.naive_utc();
                Some(ClockChange::Moved { planned })
            }
            Change::FirstPass => Some(ClockChange::FirstPass),
            Change::SecondPass => Some(ClockChange::SecondPass),
        });
        let offset =
            i32::try_from(rule.offset(at.timestamp())).ok().and_then(FixedOffset::east_opt);
        let local = offset.map_or(at.fixed_offset(), |offset| at.with_timezone(&offset));
        Explained { at, local, change }
    }
}

impl fmt::Display for ClockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClockChange::Moved { planned } => {
                write!(f, "moved: clocks skip {}", planned.format("%Y-%m-%d %H:%M:%S"))
            }
            ClockChange::FirstPass => f.write_str("first pass of a repeated time"),
            ClockChange::SecondPass => f.write_str("second pass of a repeated time"),
        }
    }
}
