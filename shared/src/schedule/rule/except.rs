//! Dates and times on which a schedule is not due, such as holidays.

use std::ops::RangeInclusive;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime};

use super::Rule;
use crate::schedule::error::{ScheduleError, shown};
use crate::schedule::json::{self, Fields};
use crate::schedule::zone::Zone;
use crate::schedule::{COUNT_MAX, SECOND, micros, time};

/// The most entries of `except`.
const ENTRIES_MAX: usize = 200;
/// The years that schedules have occurrences in.
const YEARS: RangeInclusive<i32> = 1970..=2100;

/// A rule without some of its occurrences. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub(in crate::schedule) struct ExceptRule {
    pub rule: Rule,
    pub entries: Vec<Entry>,
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
        Ok(ExceptRule { rule, entries, zone })
    }

    /// The first occurrence after `after`. Each step passes an entry of one year, so there are at most
    /// a few thousand.
    pub(in crate::schedule) fn next(&self, after: i64) -> Option<i64> {
        let mut after = after;
        loop {
            let found = self.rule.next(after)?;
            match self.exception_at(found) {
                Some((_, end)) => after = end - 1,
                None => return Some(found),
            }
        }
    }

    /// The last occurrence before `before`.
    pub(in crate::schedule) fn prev(&self, before: i64) -> Option<i64> {
        let mut before = before;
        loop {
            let found = self.rule.prev(before)?;
            match self.exception_at(found) {
                Some((begin, _)) => before = begin,
                None => return Some(found),
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

    /// The period of an entry that contains `instant`: its begin, and its end, which is not part of
    /// it.
    fn exception_at(&self, instant: i64) -> Option<(i64, i64)> {
        let date = self.local(instant)?.date();
        // Where clocks repeat a midnight, a date has times of its neighbour's.
        let near = date.pred_opt()?..=date.succ_opt()?;
        let mut periods = self.entries.iter().flat_map(|entry| {
            let years = date.year() - 1..=date.year();
            entry.periods(years).filter_map(|period| match period {
                Period::Dates(first, last) if first <= *near.end() && last >= *near.start() => {
                    Some(self.period(first, last))
                }
                Period::Dates(..) => None,
                Period::Time(at) => Some((at, at + 1)),
            })
        });
        periods.find(|(begin, end)| (*begin..*end).contains(&instant))
    }

    /// The periods of all entries, as far as they are later than `after` and not later than
    /// `until`: in ascending order, and none overlaps another.
    fn exceptions(&self, after: i64, until: i64) -> Vec<(i64, i64)> {
        let year = |instant| self.local(instant).map(|local| local.year());
        let first = year(after).unwrap_or(*YEARS.start()).clamp(*YEARS.start(), *YEARS.end() + 1);
        let last = year(until).unwrap_or(*YEARS.end()).clamp(first, *YEARS.end() + 1);
        let mut periods: Vec<(i64, i64)> = Vec::new();
        for entry in &self.entries {
            periods.extend(entry.periods(first - 1..=last).map(|period| {
                let (begin, end) = match period {
                    Period::Dates(first, last) => self.period(first, last),
                    Period::Time(at) => (at, at + 1),
                };
                (begin.max(after + 1), end.min(until.saturating_add(1)))
            }));
        }
        periods.retain(|(begin, end)| begin < end);
        periods.sort_unstable();
        let mut covered = i64::MIN;
        for (begin, end) in &mut periods {
            *begin = (*begin).max(covered);
            *end = (*end).max(*begin);
            covered = *end;
        }
        periods
    }

    /// From the first instant of a date to that of the day after another one.
    fn period(&self, first: NaiveDate, last: NaiveDate) -> (i64, i64) {
        let end = last.checked_add_days(Days::new(1)).unwrap_or(last);
        (self.start_of(first), self.start_of(end))
    }

    fn start_of(&self, date: NaiveDate) -> i64 {
        let midnight = date.and_time(NaiveTime::MIN);
        self.zone.instant_of(midnight).map_or(midnight.and_utc().timestamp_micros(), micros)
    }

    fn local(&self, instant: i64) -> Option<NaiveDateTime> {
        let offset = self.zone.offset_at(time(instant)?);
        let local = instant.checked_add(offset * SECOND)?;
        Some(chrono::DateTime::from_timestamp_micros(local)?.naive_utc())
    }
}

/// What an entry leaves out in one year.
enum Period {
    Dates(NaiveDate, NaiveDate),
    Time(i64),
}

impl Entry {
    /// What a yearly entry leaves out in these years, by the year of the first date; what another one
    /// leaves out.
    fn periods(self, years: RangeInclusive<i32>) -> impl Iterator<Item = Period> {
        let years = match self {
            Entry::Yearly(..) => years,
            Entry::Dates(..) | Entry::Time(_) => *years.start()..=*years.start(),
        };
        years.filter_map(move |year| self.in_year(year))
    }

    fn in_year(self, year: i32) -> Option<Period> {
        match self {
            Entry::Dates(first, last) => Some(Period::Dates(first, last)),
            Entry::Time(at) => Some(Period::Time(at)),
            Entry::Yearly(first, last) => {
                let end = if last < first { year + 1 } else { year };
                // A year without 29 February begins such a period a day later, or ends it a day earlier.
                let first = first.in_year(year).or_else(|| NaiveDate::from_ymd_opt(year, 3, 1))?;
                let last = last.in_year(end).or_else(|| NaiveDate::from_ymd_opt(end, 2, 28))?;
                (first <= last).then_some(Period::Dates(first, last))
            }
        }
    }
}

impl YearlyDate {
    fn in_year(self, year: i32) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(year, self.month, self.day)
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
        let message = error.message().to_owned();
        let remedy = "write dates: 2026-12-25, 2026-12-24/2027-01-02, 12-25 for each year, or a time: \
                      2026-12-25T09:00:00";
        ScheduleError::new("except", message).remedy(remedy)
    })?;
    Ok(instants.into_iter().map(|at| Entry::Time(micros(at))).collect())
}
