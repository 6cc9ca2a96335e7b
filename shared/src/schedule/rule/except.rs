//! Dates and times on which a schedule is not due, such as holidays.

mod dates;

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, NaiveTime};

use super::Rule;
use crate::date_fault::date_fault;
use crate::schedule::error::{ScheduleError, shown};
use crate::schedule::json::{self, Fields};
use crate::schedule::zone::{self, Span, Zone};
use crate::schedule::{COUNT_MAX, SECOND, micros};
use dates::Dates;

/// The most entries of `except`.
const ENTRIES_MAX: usize = 200;
/// The years that schedules have occurrences in.
const YEARS: RangeInclusive<i32> = 1970..=2100;
const DAY: i64 = 86_400;

/// A rule without some of its occurrences. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub(in crate::schedule) struct ExceptRule {
    pub rule: Rule,
    pub entries: Vec<Entry>,
    /// The dates of the entries.
    dates: Dates,
    /// The times among them, in ascending order.
    times: Vec<i64>,
    zone: Zone,
}

/// What one entry of `except` leaves out. Dates are local, and the last one is included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::schedule) enum Entry {
    Dates(NaiveDate, NaiveDate),
    /// In each year. If the last date is before the first, it is in the next year.
    Yearly(YearlyDate, YearlyDate),
    /// An instant.
    Time(i64),
}

/// A date of each year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::schedule) struct YearlyDate {
    pub month: u32,
    pub day: u32,
}

impl ExceptRule {
    pub(in crate::schedule) fn read(
        rule: Rule,
        fields: &Fields,
    ) -> Result<ExceptRule, ScheduleError> {
        let zone = rule.zone().clone();
        let texts = fields.texts("except")?;
        if texts.len() > ENTRIES_MAX {
            let message = format!("has {} entries, more than {ENTRIES_MAX}", texts.len());
            return Err(ScheduleError::new("except", message).remedy("write ranges of dates"));
        }
        let mut entries = Vec::new();
        for text in texts {
            match dates(text) {
                Some(dates) => entries.push(checked(dates, text)?),
                None => entries.extend(times(text, &zone)?),
            }
        }
        let dates = Dates::of(&entries);
        let at = |entry: &Entry| if let Entry::Time(at) = entry { Some(*at) } else { None };
        let mut times: Vec<i64> = entries.iter().filter_map(at).collect();
        times.sort_unstable();
        times.dedup();
        Ok(ExceptRule { rule, entries, dates, times, zone })
    }

    /// The first occurrence after `after`. Each step passes all dates of a run, so there are at most some
    /// thousands.
    pub(in crate::schedule) fn next(&self, after: i64) -> Option<i64> {
        let mut after = after;
        loop {
            let found = self.rule.next(after)?;
            let date = self.date_of(found);
            if self.dates.has(date) {
                after = self.start_of(self.dates.end_of_run(date)) - 1;
            } else if self.has_time(found) {
                after = found;
            } else {
                return Some(found);
            }
        }
    }

    /// The last occurrence before `before`.
    pub(in crate::schedule) fn prev(&self, before: i64) -> Option<i64> {
        let mut before = before;
        loop {
            let found = self.rule.prev(before)?;
            let date = self.date_of(found);
            if self.dates.has(date) {
                before = self.start_of(self.dates.start_of_run(date));
            } else if self.has_time(found) {
                before = found;
            } else {
                return Some(found);
            }
        }
    }

    /// How many occurrences are later than `after` and not later than `until`; at most
    /// [`COUNT_MAX`] if they must be enumerated.
    pub(in crate::schedule) fn count(&self, after: i64, until: i64) -> u64 {
        if self.rule.is_enumerated() {
            let following = |time: &i64| self.next(*time);
            let times = std::iter::successors(self.next(after), following);
            let times = times.take_while(|time| *time <= until);
            return times.take(COUNT_MAX as usize).count() as u64;
        }
        let excluded = self.exceptions(after, until).into_iter();
        let excluded = excluded.map(|(begin, end)| self.rule.count(begin - 1, end - 1));
        self.rule.count(after, until) - excluded.sum::<u64>()
    }

    /// The periods that are left out, as far as they are later than `after` and not later than `until`.
    /// None overlaps another. Each has a begin, and an end that is not part of it.
    fn exceptions(&self, after: i64, until: i64) -> Vec<(i64, i64)> {
        let from = after.saturating_add(1);
        let [mut date, last] = [from, until].map(|instant| self.date_of(instant));
        let mut periods = Vec::new();
        while date <= last {
            let end = self.dates.end_of_run(date);
            if end > date {
                let (begin, end) = (self.start_of(date), self.start_of(end));
                periods.push((begin.max(from), end.min(until.saturating_add(1))));
            }
            let Some(next) = end.succ_opt() else { break };
            date = next;
        }
        periods.retain(|(begin, end)| begin < end);
        let first = self.times.partition_point(|at| *at <= after);
        let times = self.times[first..].iter().take_while(|at| **at <= until);
        let alone = times.filter(|at| !self.dates.has(self.date_of(**at)));
        periods.extend(alone.map(|at| (*at, *at + 1)));
        periods
    }

    fn has_time(&self, instant: i64) -> bool {
        self.times.binary_search(&instant).is_ok()
    }

    /// The date that an instant is part of. A date begins at its first instant: where clocks repeat a
    /// midnight, the repeated hour is part of the new date, too.
    fn date_of(&self, instant: i64) -> NaiveDate {
        let second = instant.div_euclid(SECOND).clamp(zone::FIRST - DAY, zone::END + DAY);
        let index = self.zone.index(second);
        let Span { begin, offset } = self.zone.spans()[index];
        let mut local = second + offset;
        if let Some(before) = index.checked_sub(1) {
            local = local.max(begin - 1 + self.zone.spans()[before].offset);
        }
        let days = i32::try_from(local.div_euclid(DAY)).unwrap_or_default();
        NaiveDate::from_epoch_days(days).unwrap_or_default()
    }

    /// The first instant of a date.
    fn start_of(&self, date: NaiveDate) -> i64 {
        let midnight = date.and_time(NaiveTime::MIN);
        self.zone.instant_of(midnight).map_or(midnight.and_utc().timestamp_micros(), micros)
    }
}

/// Reads `2026-12-25`, `2026-12-24/2027-01-02`, `12-25` or `12-24/01-02`.
fn dates(text: &str) -> Option<Entry> {
    let (first, last) = text.split_once('/').unwrap_or((text, text));
    if let (Some(first), Some(last)) = (date(first), date(last)) {
        return Some(Entry::Dates(first, last));
    }
    Some(Entry::Yearly(month_day(first)?, month_day(last)?))
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)
}

fn month_day(text: &str) -> Option<YearlyDate> {
    // A leap year has all dates.
    let date = date(&format!("2024-{text}"))?;
    Some(YearlyDate { month: date.month(), day: date.day() })
}

fn checked(entry: Entry, text: &str) -> Result<Entry, ScheduleError> {
    let Entry::Dates(first, last) = entry else { return Ok(entry) };
    let error =
        |message: &str| Err(ScheduleError::new("except", format!("`{}` {message}", shown(text))));
    if first > last {
        return error("ends before it begins");
    }
    if !YEARS.contains(&first.year()) || !YEARS.contains(&last.year()) {
        return error("is outside the years 1970 to 2100");
    }
    Ok(entry)
}

/// A single time, local or with an offset. A local time that clocks repeat is left out both times.
fn times(text: &str, zone: &Zone) -> Result<Vec<Entry>, ScheduleError> {
    let instants = json::instants("except", text, zone).map_err(|error| {
        let message = match text.split('/').find_map(date_fault) {
            Some(fault) => format!("`{}`: {fault}", shown(text)),
            None => error.message().to_owned(),
        };
        let remedy = "write dates: 2026-12-25, 2026-12-24/2027-01-02, 12-25 for each year, or a time: \
                      2026-12-25T09:00:00";
        ScheduleError::new("except", message).remedy(remedy)
    })?;
    Ok(instants.into_iter().map(|at| Entry::Time(micros(at))).collect())
}
