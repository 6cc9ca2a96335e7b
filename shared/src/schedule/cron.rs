//! Maps wall-clock times to instants, including when clocks change.
//!
//! Local time is a sequence of spans with a constant UTC offset. If a span begins with a greater
//! offset than the one before, local time has a *gap*: times that do not exist. If it begins with a
//! smaller offset, local times repeat: a *fold*. Each span contributes the matching local times
//! within it, except those that belong to the other pass of a fold. If a matching time falls into
//! the gap before the span, the span's first instant is an occurrence, too. `next`, `prev` and
//! `count` all follow these rules.

use super::wall_clock::WallClock;
use super::zone::{Span, Zone};
use crate::string_enum::string_enum;

string_enum! {
    /// When an occurrence is due whose local time a clock change skipped.
    pub enum Gap {
        /// At the first instant after the change.
        First = "first",
        /// Never.
        Skip = "skip",
    }
}

string_enum! {
    /// When an occurrence is due whose local time a clock change repeated.
    pub enum Fold {
        /// The first time.
        First = "first",
        /// The second time.
        Second = "second",
        /// Both times.
        Both = "both",
    }
}

/// A cron expression in a time zone. Its times are whole seconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct CronRule {
    pub wall: WallClock,
    pub zone: Zone,
    pub gap: Gap,
    pub fold: Fold,
}

/// How a clock change affected an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was planned for this local time, which the clocks skipped.
    Moved {
        planned: i64,
    },
    FirstPass,
    SecondPass,
}

/// The local times of one span that can be occurrences: `from..until`, in seconds.
struct LocalRange {
    from: i64,
    until: i64,
}

impl CronRule {
    /// The rule for `wall` in `zone`. An expression that follows elapsed time ignores `gap` and
    /// `fold`: it skips a gap and runs through both passes of a fold.
    pub(super) fn new(wall: WallClock, zone: Zone, gap: Gap, fold: Fold) -> CronRule {
        let elapsed = wall.expression().elapsed;
        let (gap, fold) = if elapsed { (Gap::Skip, Fold::Both) } else { (gap, fold) };
        CronRule { wall, zone, gap, fold }
    }

    /// The first occurrence after `after`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        let mut lower = after + 1;
        let mut lookahead = Lookahead { wall: &self.wall, known: None };
        for index in self.zone.index(lower)..self.zone.spans().len() {
            let Span { begin, offset } = self.zone.spans()[index];
            if begin >= lower {
                if self.fires_after_gap(index, &mut lookahead) {
                    return Some(begin);
                }
                lower = begin;
            }
            let range = self.local_range(index);
            let time = lookahead.next(range.from.max(lower + offset));
            if let Some(time) = time.filter(|time| *time < range.until) {
                return Some(time - offset);
            }
        }
        None
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        let last = self.zone.index(before - 1);
        for index in (0..=last).rev() {
            let Span { begin, offset } = self.zone.spans()[index];
            let range = self.local_range(index);
            let time = self.wall.prev(range.until.min(before + offset));
            if let Some(time) = time.filter(|time| *time >= range.from) {
                return Some(time - offset);
            }
            if self.fires_after_gap(index, &mut Lookahead { wall: &self.wall, known: None }) {
                return Some(begin);
            }
        }
        None
    }

    /// How many occurrences are later than `after` and not later than `until`.
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        let mut count = 0;
        let last = self.zone.index(until);
        for index in self.zone.index(after + 1)..=last {
            let Span { begin, offset } = self.zone.spans()[index];
            let range = self.local_range(index);
            let from = range.from.max(after + 1 + offset);
            count += self.wall.count(from, range.until.min(until + 1 + offset));
            // If the expression also matches the span's first local time, `wall.count` has counted
            // that instant already.
            if begin > after
                && self.fires_after_gap(index, &mut Lookahead { wall: &self.wall, known: None })
                && self.wall.next(begin + offset) != Some(begin + offset)
            {
                count += 1;
            }
        }
        count
    }

    /// How a clock change affected the occurrence at `instant`.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        let index = self.zone.index(instant);
        let Span { begin, offset } = self.zone.spans()[index];
        let local = instant + offset;
        let before = index.checked_sub(1).map(|index| self.zone.spans()[index].offset);
        if let Some(before) = before {
            if instant == begin && self.gap == Gap::First && before < offset {
                let planned = self.wall.next(begin + before).filter(|time| *time < local);
                return planned.map(|planned| Change::Moved { planned });
            }
            if local < begin + before {
                return Some(Change::SecondPass);
            }
        }
        let next = self.zone.spans().get(index + 1)?;
        (local >= next.begin + next.offset).then_some(Change::FirstPass)
    }

    /// Whether the span's first instant is an occurrence because a time in the gap before it
    /// matches.
    fn fires_after_gap(&self, index: usize, lookahead: &mut Lookahead<'_>) -> bool {
        if self.gap == Gap::Skip || index == 0 {
            return false;
        }
        let Span { begin, offset } = self.zone.spans()[index];
        let gap = begin + self.zone.spans()[index - 1].offset..begin + offset;
        !gap.is_empty() && lookahead.next(gap.start).is_some_and(|time| gap.contains(&time))
    }

    fn local_range(&self, index: usize) -> LocalRange {
        let Span { begin, offset } = self.zone.spans()[index];
        let mut range = LocalRange { from: i64::MIN, until: i64::MAX };
        if index > 0 {
            let before = self.zone.spans()[index - 1].offset;
            let second_pass_counts = self.fold != Fold::First;
            range.from = begin + if second_pass_counts { offset } else { offset.max(before) };
        }
        if let Some(next) = self.zone.spans().get(index + 1) {
            let first_pass_counts = self.fold != Fold::Second;
            let after = if first_pass_counts { offset } else { offset.min(next.offset) };
            range.until = next.begin + after;
        }
        range
    }
}

/// Caches the next wall-clock match. A search for a yearly job crosses many spans, and most of
/// them would repeat the same query.
struct Lookahead<'a> {
    wall: &'a WallClock,
    known: Option<(i64, Option<i64>)>,
}

impl Lookahead<'_> {
    /// The first match at or after `from`.
    fn next(&mut self, from: i64) -> Option<i64> {
        if let Some((since, found)) = self.known
            && since <= from
            && found.is_none_or(|found| from <= found)
        {
            return found;
        }
        let found = self.wall.next(from);
        self.known = Some((from, found));
        found
    }
}
