//! Recurrence rules of calendars (RFC 5545, `RRULE`).
//!
//! A rule is expanded in local time, one period after another: days, weeks, months or years from the
//! start on. Clock changes have the effect that they have on a calendar interval.

mod read;

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday,
};

use super::cron::Change;
use super::error::ScheduleError;
use super::json::Fields;
use super::set::Set;
use super::zone::{END, FIRST, Zone};
use super::{COUNT_MAX, SECOND, micros, time};
use crate::clock::Time;
pub(super) use read::{End, Frequency};

const DAY: i64 = 86_400;
/// No occurrence is later, so no search goes further.
const YEAR_MAX: i32 = 2101;

/// A recurrence rule in a time zone. Its instants are microseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct RecurrenceRule {
    pub parts: Parts,
    pub zone: Zone,
    /// `DTSTART`: no occurrence is earlier, and periods are counted from here. It is an occurrence
    /// only if the rule names it.
    start: NaiveDateTime,
    /// The last local time, from `COUNT`.
    last: NaiveDateTime,
    /// The last instant, from `UNTIL`.
    until: i64,
}

/// The parts of a rule, with what the start implies for those that it does not name.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub frequency: Frequency,
    pub interval: u32,
    /// Empty: every month. The same holds for the other parts.
    pub months: Set,
    /// Negative numbers count from the month's end.
    pub month_days: Vec<i32>,
    pub weekdays: Vec<NthWeekday>,
    /// The times of each day, in ascending order; never empty.
    pub times: Vec<NaiveTime>,
    /// Which occurrences of each period count; negative numbers count from its end.
    pub positions: Vec<i32>,
    pub week_start: Weekday,
    pub end: End,
}

/// A day of the week, or the n-th one of the month or year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NthWeekday {
    /// 0: each. Negative numbers count from the end.
    pub nth: i32,
    pub weekday: Weekday,
}

impl RecurrenceRule {
    pub(super) fn read(text: &str, fields: &Fields) -> Result<RecurrenceRule, ScheduleError> {
        let zone = fields.zone("timezone")?.unwrap_or_else(Zone::utc);
        let Some(start) = fields.local_time("start", &zone)? else {
            let error =
                ScheduleError::new("start", "is missing: the local time from which a rule counts");
            return Err(error.remedy(r#"write "start":"2026-01-02T09:00:00" (its DTSTART)"#));
        };
        if start.and_utc().timestamp_subsec_nanos() != 0 {
            return Err(ScheduleError::new("start", "isn't a whole second, which a rule needs"));
        }
        let parts = Parts::read(text, start)?;
        let mut rule =
            RecurrenceRule { parts, zone, start, last: NaiveDateTime::MAX, until: i64::MAX };
        match rule.parts.end {
            End::Never => {}
            End::Count(count) => rule.last = rule.nth(count).unwrap_or(NaiveDateTime::MAX),
            End::Until(local) => rule.until = rule.last_instant(local),
            End::UntilInstant(until) => rule.until = until.timestamp_micros(),
        }
        if rule.next(i64::MIN).is_none() {
            let error =
                ScheduleError::new("rrule", "never matches: there is no such time before 2101");
            return Err(error.remedy("check its BY parts and its end"));
        }
        Ok(rule)
    }

    /// The first occurrence after `after`.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        let mut local = self.local(after);
        // A time that clocks repeat is due in the first pass, so it may be past.
        loop {
            local = self.local_after(local)?;
            let found = self.instant(local)?;
            if found > self.until {
                return None;
            }
            if found > after {
                return Some(found);
            }
        }
    }

    /// The last occurrence before `before`.
    pub(super) fn prev(&self, before: i64) -> Option<i64> {
        let before = before.min(self.until.saturating_add(1));
        // A time after a fold shows later than one before its end.
        let mut local = self.local(before) + TimeDelta::hours(25);
        loop {
            local = self.local_before(local)?;
            if let Some(found) = self.instant(local).filter(|found| *found < before) {
                return Some(found);
            }
        }
    }

    /// How many occurrences are later than `after` and not later than `until`, at most
    /// [`COUNT_MAX`].
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        let times = std::iter::successors(self.next(after), |time| self.next(*time));
        times.take_while(|time| *time <= until).take(COUNT_MAX as usize).count() as u64
    }

    /// A lower bound of the time between two occurrences, in seconds, ignoring clock changes.
    pub(super) fn period(&self) -> i64 {
        let times = &self.parts.times;
        let within = times.windows(2).map(|pair| (pair[1] - pair[0]).num_seconds()).min();
        let overnight = DAY - (times[times.len() - 1] - times[0]).num_seconds();
        within.map_or(overnight, |within| within.min(overnight))
    }

    /// Its first local time, at or after which it occurs.
    pub(super) fn start(&self) -> NaiveDateTime {
        self.start
    }

    /// How a clock change affected the occurrence at `instant`.
    pub(super) fn clock_change(&self, instant: i64) -> Option<Change> {
        let mut planned = self.local(instant) - TimeDelta::hours(25);
        while self.instant(planned).is_none_or(|at| at < instant) {
            planned = self.local_after(planned)?;
        }
        match self.zone.instants_of(planned).len() {
            0 => Some(Change::Moved { planned: planned.and_utc().timestamp() }),
            2 => Some(Change::FirstPass),
            _ => None,
        }
    }

    /// The first local time of the rule after `after`.
    fn local_after(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut index = self.index_of(after.date());
        loop {
            let dates = self.dates(index)?;
            let found = self.in_period(&dates).find(|local| *local > after && *local >= self.start);
            if found.is_some() {
                return found.filter(|local| *local <= self.last);
            }
            index += 1;
        }
    }

    /// The last local time of the rule before `before`.
    fn local_before(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        (0..=self.index_of(before.date())).rev().find_map(|index| {
            let dates = self.dates(index)?;
            let mut times = self.in_period(&dates).rev();
            times.find(|local| *local < before && *local <= self.last && *local >= self.start)
        })
    }

    /// The local time with this number, from 1 on.
    fn nth(&self, number: u32) -> Option<NaiveDateTime> {
        let mut rest = number as usize;
        for index in 0.. {
            let dates = self.dates(index)?;
            let times = || self.in_period(&dates).filter(|local| *local >= self.start);
            let count = if index == 0 { times().count() } else { self.in_period(&dates).len() };
            if rest <= count {
                return times().nth(rest - 1);
            }
            rest -= count;
        }
        None
    }

    /// The local times of a period with these dates.
    fn in_period(
        &self,
        dates: &[NaiveDate],
    ) -> impl DoubleEndedIterator<Item = NaiveDateTime> + ExactSizeIterator {
        let Parts { times, positions, .. } = &self.parts;
        let total = dates.len() * times.len();
        let mut chosen: Vec<usize> = positions
            .iter()
            .filter_map(|position| match usize::try_from(*position) {
                Ok(from_begin) => from_begin.checked_sub(1),
                Err(_) => total.checked_sub(position.unsigned_abs() as usize),
            })
            .filter(|index| *index < total)
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        let count = if positions.is_empty() { total } else { chosen.len() };
        (0..count).map(move |index| {
            let index = chosen.get(index).copied().unwrap_or(index);
            dates[index / times.len()].and_time(times[index % times.len()])
        })
    }

    /// The dates of a period; none if it is beyond the last year.
    fn dates(&self, index: u64) -> Option<Vec<NaiveDate>> {
        let start = self.start.date();
        let step = index.checked_mul(self.parts.interval.into())?;
        let (first, days) = match self.parts.frequency {
            Frequency::Daily => (start.checked_add_days(Days::new(step))?, 1),
            Frequency::Weekly => {
                (self.first_week().checked_add_days(Days::new(step.checked_mul(7)?))?, 7)
            }
            Frequency::Monthly => {
                let months = Months::new(u32::try_from(step).ok()?);
                let first = start.with_day(1)?.checked_add_months(months)?;
                (first, first.num_days_in_month().into())
            }
            Frequency::Yearly => {
                let year = start.year().checked_add(i32::try_from(step).ok()?)?;
                let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
                (first, if first.leap_year() { 366 } else { 365 })
            }
        };
        if first.year() > YEAR_MAX {
            return None;
        }
        Some(first.iter_days().take(days).filter(|date| self.matches(*date)).collect())
    }

    fn matches(&self, date: NaiveDate) -> bool {
        let Parts { months, month_days, weekdays, .. } = &self.parts;
        let day = date.day() as i32;
        let month_length = i32::from(date.num_days_in_month());
        (months.is_empty() || months.has(date.month()))
            && (month_days.is_empty()
                || month_days
                    .iter()
                    .any(|wanted| *wanted == day || *wanted == day - month_length - 1))
            && (weekdays.is_empty()
                || weekdays.iter().any(|weekday| self.matches_weekday(*weekday, date)))
    }

    fn matches_weekday(&self, NthWeekday { nth, weekday }: NthWeekday, date: NaiveDate) -> bool {
        if weekday != date.weekday() {
            return false;
        }
        // With BYMONTH, those of a year are counted in the month.
        let in_year = self.parts.frequency == Frequency::Yearly && self.parts.months.is_empty();
        let (day, length) = if in_year {
            (date.ordinal0(), if date.leap_year() { 366 } else { 365 })
        } else {
            (date.day0(), u32::from(date.num_days_in_month()))
        };
        let (from_begin, from_end) = ((day / 7) as i32 + 1, ((length - 1 - day) / 7) as i32 + 1);
        nth == 0 || nth == from_begin || nth == -from_end
    }

    /// The index of the period that contains the date, or else of the last one before it; 0 before
    /// the first.
    fn index_of(&self, date: NaiveDate) -> u64 {
        let start = self.start.date();
        let end = NaiveDate::from_ymd_opt(YEAR_MAX, 12, 31).unwrap_or(date);
        let date = date.min(end);
        let years = i64::from(date.year() - start.year());
        let units = match self.parts.frequency {
            Frequency::Daily => (date - start).num_days(),
            Frequency::Weekly => (date - self.first_week()).num_days() / 7,
            Frequency::Monthly => years * 12 + i64::from(date.month()) - i64::from(start.month()),
            Frequency::Yearly => years,
        };
        u64::try_from(units / i64::from(self.parts.interval)).unwrap_or(0)
    }

    /// The first day of the start's week.
    fn first_week(&self) -> NaiveDate {
        let date = self.start.date();
        date.week(self.parts.week_start).checked_first_day().unwrap_or(date)
    }

    fn instant(&self, local: NaiveDateTime) -> Option<i64> {
        self.zone.instant_of(local).map(micros)
    }

    /// The last instant at which clocks show `local`.
    fn last_instant(&self, local: NaiveDateTime) -> i64 {
        let last = self.zone.instants_of(local).last().copied();
        let last = last.or_else(|| self.zone.instant_after_gap(local));
        last.map_or(i64::MAX, micros)
    }

    fn local(&self, instant: i64) -> NaiveDateTime {
        let instant = instant.clamp((FIRST - 2 * DAY) * SECOND, (END + 2 * DAY) * SECOND);
        let offset = self.zone.offset_at(time(instant).unwrap_or(Time::MIN));
        DateTime::from_timestamp_micros(instant + offset * SECOND).unwrap_or_default().naive_utc()
    }
}
