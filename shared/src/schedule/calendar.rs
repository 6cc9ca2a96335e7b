//! Periods of days, weeks, months or years, counted on the calendar of a time zone: every second
//! Friday at 09:00, whatever the clocks do.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime};

use super::cron::Change;
use super::zone::Zone;
use super::{SECOND, time};
use crate::clock::Time;

const DAY: i64 = 86_400;
/// No occurrence is later, so no search goes further.
const YEAR_MAX: i32 = 2101;

/// A calendar interval. Its times are microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct CalendarRule {
    pub step: Step,
    pub zone: Zone,
    first: NaiveDate,
    at: NaiveTime,
}

/// How far apart the dates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Days(u32),
    /// A month without the first date's day has no occurrence.
    Months(u32),
}

impl Step {
    /// Reads `2w`, `10 days`, `3 months` or `1y`.
    pub(super) fn read(text: &str) -> Option<Step> {
        let text = text.trim();
        let digits = text.find(|char: char| !char.is_ascii_digit())?;
        let number: u32 = text[..digits].parse().ok().filter(|number| *number > 0)?;
        Some(match text[digits..].trim() {
            "d" | "day" | "days" => Step::Days(number),
            "w" | "week" | "weeks" => Step::Days(number.checked_mul(7)?),
            "month" | "months" => Step::Months(number),
            "y" | "year" | "years" => Step::Months(number.checked_mul(12)?),
            _ => return None,
        })
        .filter(Step::is_in_bounds)
    }

    /// Whether it is at most a hundred years.
    fn is_in_bounds(&self) -> bool {
        match self {
            Step::Days(days) => *days <= 36_525,
            Step::Months(months) => *months <= 1200,
        }
    }
}

impl CalendarRule {
    /// The rule whose first occurrence is at the local time `from`.
    pub(super) fn new(step: Step, zone: Zone, from: NaiveDateTime) -> CalendarRule {
        CalendarRule { step, zone, first: from.date(), at: from.time() }
    }

    /// The first occurrence after `after`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        let mut index = self.index_at(after).saturating_sub(1);
        loop {
            match self.occurrence(index)? {
                Some(found) if found > after => return Some(found),
                _ => index += 1,
            }
        }
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        let last = self.index_at(before) + 1;
        let mut earlier = (0..=last).rev().filter_map(|index| self.occurrence(index).flatten());
        earlier.find(|found| *found < before)
    }

    /// How many occurrences are later than `after` and not later than `until`.
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        self.count_until(until).saturating_sub(self.count_until(after))
    }

    /// The shortest time between two occurrences, in seconds, ignoring clock changes.
    pub(super) fn period(&self) -> i64 {
        match self.step {
            Step::Days(days) => i64::from(days) * DAY,
            Step::Months(months) => i64::from(months) * 28 * DAY,
        }
    }

    /// The date of the first occurrence, and the time of day of all.
    pub(super) fn first(&self) -> (NaiveDate, NaiveTime) {
        (self.first, self.at)
    }

    /// How a clock change affected the occurrence at `instant`.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        let planned = self.local(instant)?.date().and_time(self.at);
        match self.zone.instants_of(planned).len() {
            0 => Some(Change::Moved { planned: planned.and_utc().timestamp() }),
            2 => Some(Change::FirstPass),
            _ => None,
        }
    }

    fn count_until(&self, until: i64) -> u64 {
        let near = self.index_at(until).saturating_sub(1);
        let is_past =
            |index: &u64| self.occurrence(*index).flatten().is_some_and(|found| found <= until);
        let recent = (near..near + 3).filter(is_past).count() as u64;
        recent
            + match self.step {
                Step::Days(_) => near,
                // Some months lack the day.
                Step::Months(_) => (0..near).filter(is_past).count() as u64,
            }
    }

    /// The occurrence on the date with this number: none after the last year, an inner none if there
    /// is no such date.
    fn occurrence(&self, index: u64) -> Option<Option<i64>> {
        let date = match self.step {
            Step::Days(days) => {
                self.first.checked_add_days(Days::new(index.checked_mul(days.into())?))?
            }
            Step::Months(months) => {
                let months = u32::try_from(index.checked_mul(months.into())?).ok()?;
                // This ends in the month's last day where there is no such day.
                self.first.checked_add_months(Months::new(months))?
            }
        };
        if date.year() > YEAR_MAX {
            return None;
        }
        if matches!(self.step, Step::Months(_)) && date.day() != self.first.day() {
            return Some(None);
        }
        let local = date.and_time(self.at);
        Some(self.zone.instant_of(local).map(|instant| instant.timestamp_micros()))
    }

    /// The number of the last date that is not later than the local date at `instant`; 0 before the
    /// first.
    fn index_at(&self, instant: i64) -> u64 {
        let Some(local) = self.local(instant) else {
            return if instant < 0 { 0 } else { self.index_of(NaiveDate::MAX) };
        };
        self.index_of(local.date())
    }

    fn index_of(&self, date: NaiveDate) -> u64 {
        let end = NaiveDate::from_ymd_opt(YEAR_MAX, 12, 31).unwrap_or(date);
        let date = date.min(end);
        let index = match self.step {
            Step::Days(days) => (date - self.first).num_days() / i64::from(days),
            Step::Months(months) => {
                let years = i64::from(date.year() - self.first.year());
                let between = years * 12 + i64::from(date.month()) - i64::from(self.first.month());
                between / i64::from(months)
            }
        };
        u64::try_from(index).unwrap_or(0)
    }

    fn local(&self, instant: i64) -> Option<NaiveDateTime> {
        let at: Time = time(instant)?;
        let local = instant.checked_add(self.zone.offset_at(at) * SECOND)?;
        Some(chrono::DateTime::from_timestamp_micros(local)?.naive_utc())
    }
}
