//! Occurrences in local time, with the effect of clock changes.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime};

use super::cron::Change;
use super::{Schedule, micros};
use crate::clock::Time;

/// One occurrence, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// When it is due.
    pub at: Time,
    /// When it is due in the schedule's time zone; in UTC if it has none.
    pub local: DateTime<FixedOffset>,
    /// Set if a clock change affects its local time.
    pub change: Option<ClockChange>,
}

/// How a clock change affected an occurrence. `Display` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// Its local time was skipped; it is due at the first instant after the change.
    Moved {
        /// The local time that was skipped; the first one if several were.
        planned: NaiveDateTime,
    },
    /// Its local time occurs twice; this is the first.
    FirstPass,
    /// Its local time occurs twice; this is the second.
    SecondPass,
}

impl Schedule {
    /// The first `n` occurrences later than `after`; fewer if the schedule ends before.
    pub fn occurrences_explained(&self, after: Time, n: usize) -> Vec<Explained> {
        let following = |before: &Time| self.next_after(*before);
        let times = std::iter::successors(self.next_after(after), following);
        times.take(n).map(|at| self.explain(at)).collect()
    }

    fn explain(&self, at: Time) -> Explained {
        // Clock changes apply to the time that the rule names, before jitter.
        let matched = micros(at) - self.delay;
        let change = self.rule.clock_change(matched);
        let change = change.and_then(|change| match change {
            Change::Moved { planned } => {
                let planned = DateTime::from_timestamp(planned, 0)?.naive_utc();
                Some(ClockChange::Moved { planned })
            }
            Change::FirstPass => Some(ClockChange::FirstPass),
            Change::SecondPass => Some(ClockChange::SecondPass),
        });
        Explained { at, local: local(at, self.rule.zone().offset_at(at)), change }
    }
}

fn local(at: Time, offset: i64) -> DateTime<FixedOffset> {
    let offset = i32::try_from(offset).ok().and_then(FixedOffset::east_opt);
    offset.map_or(at.fixed_offset(), |offset| at.with_timezone(&offset))
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
