//! Wall clock to instants: what becomes of a cron job when clocks change.
//!
//! Local time is a sequence of spans of constant offset. Where one begins with a greater offset
//! than the last there is a *gap*: local times that never were. Where it begins with a smaller
//! one, local times repeat: a *fold*. Each span contributes the times named by the expression
//! that lie in it, less those that belong to the other pass of a fold, and, for those that lie in
//! the gap before it, its own first instant. Forwards, backwards and counting all go by this.

use chrono_tz::Tz;

use super::wall_clock::WallClock;
use super::zone::{self, Span};
use crate::string_enum::string_enum;

string_enum! {
    /// When an occurrence comes whose local time was skipped by a change of clocks.
    pub enum Gap {
        /// At the first instant after the change.
        First = "first",
        /// Not at all.
        Skip = "skip",
    }
}

string_enum! {
    /// When an occurrence comes whose local time was repeated by a change of clocks.
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
    pub zone: Tz,
    spans: &'static [Span],
    pub gap: Gap,
    pub fold: Fold,
}

/// What a change of clocks did to an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was planned for this local time, which was skipped.
    Moved {
        planned: i64,
    },
    FirstPass,
    SecondPass,
}

/// The local times that one span contributes.
struct Share {
    from: i64,
    until: i64,
}

impl CronRule {
    /// The rule for `wall` in `zone`. One that follows elapsed time takes local time as it comes:
    /// nothing for what was skipped, both passes of what was repeated.
    pub(super) fn new(wall: WallClock, zone: Tz, gap: Gap, fold: Fold) -> CronRule {
        let elapsed = wall.expression().elapsed;
        let (gap, fold) = if elapsed { (Gap::Skip, Fold::Both) } else { (gap, fold) };
        CronRule { wall, zone, spans: zone::spans(zone), gap, fold }
    }

    /// The first occurrence after `after`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        let mut lower = after + 1;
        let mut ahead = Ahead { wall: &self.wall, known: None };
        for index in zone::index(self.spans, lower)..self.spans.len() {
            let Span { begin, offset } = self.spans[index];
            if begin >= lower {
                if self.fires_after_gap(index, &mut ahead) {
                    return Some(begin);
                }
                lower = begin;
            }
            let share = self.share(index);
            let time = ahead.next(share.from.max(lower + offset));
            if let Some(time) = time.filter(|time| *time < share.until) {
                return Some(time - offset);
            }
        }
        None
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        let last = zone::index(self.spans, before - 1);
        for index in (0..=last).rev() {
            let Span { begin, offset } = self.spans[index];
            let share = self.share(index);
            let time = self.wall.prev(share.until.min(before + offset));
            if let Some(time) = time.filter(|time| *time >= share.from) {
                return Some(time - offset);
            }
            if self.fires_after_gap(index, &mut Ahead { wall: &self.wall, known: None }) {
                return Some(begin);
            }
        }
        None
    }

    /// How many occurrences there are in `after..=until`, both excluded and included as written.
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        let mut count = 0;
        let last = zone::index(self.spans, until);
        for index in zone::index(self.spans, after + 1)..=last {
            let Span { begin, offset } = self.spans[index];
            let share = self.share(index);
            let from = share.from.max(after + 1 + offset);
            count += self.wall.count(from, share.until.min(until + 1 + offset));
            // A time that is due at that very instant anyway makes one occurrence with it.
            if begin > after
                && self.fires_after_gap(index, &mut Ahead { wall: &self.wall, known: None })
                && self.wall.next(begin + offset) != Some(begin + offset)
            {
                count += 1;
            }
        }
        count
    }

    /// How far local time is ahead of UTC at `instant`, in seconds.
    pub(super) fn offset(&self, instant: i64) -> i64 {
        self.spans[zone::index(self.spans, instant)].offset
    }

    /// What a change of clocks did to the occurrence at `instant`.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        let index = zone::index(self.spans, instant);
        let Span { begin, offset } = self.spans[index];
        let local = instant + offset;
        let before = index.checked_sub(1).map(|index| self.spans[index].offset);
        if let Some(before) = before {
            if instant == begin && self.gap == Gap::First && before < offset {
                let planned = self.wall.next(begin + before).filter(|time| *time < local);
                return planned.map(|planned| Change::Moved { planned });
            }
            if local < begin + before {
                return Some(Change::SecondPass);
            }
        }
        let next = self.spans.get(index + 1)?;
        (local >= next.begin + next.offset).then_some(Change::FirstPass)
    }

    /// Whether times in the gap before the span make its first instant an occurrence.
    fn fires_after_gap(&self, index: usize, ahead: &mut Ahead<'_>) -> bool {
        if self.gap == Gap::Skip || index == 0 {
            return false;
        }
        let Span { begin, offset } = self.spans[index];
        let gap = begin + self.spans[index - 1].offset..begin + offset;
        !gap.is_empty() && ahead.next(gap.start).is_some_and(|time| gap.contains(&time))
    }

    fn share(&self, index: usize) -> Share {
        let Span { begin, offset } = self.spans[index];
        let mut share = Share { from: i64::MIN, until: i64::MAX };
        if index > 0 {
            let before = self.spans[index - 1].offset;
            let second_pass_counts = self.fold != Fold::First;
            share.from = begin + if second_pass_counts { offset } else { offset.max(before) };
        }
        if let Some(next) = self.spans.get(index + 1) {
            let first_pass_counts = self.fold != Fold::Second;
            let after = if first_pass_counts { offset } else { offset.min(next.offset) };
            share.until = next.begin + after;
        }
        share
    }
}

/// Looks ahead in wall-clock time, remembering what it saw: a yearly job crosses many spans.
struct Ahead<'a> {
    wall: &'a WallClock,
    known: Option<(i64, Option<i64>)>,
}

impl Ahead<'_> {
    /// The first time that is not before `from`.
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
