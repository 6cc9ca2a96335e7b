//! The dates on which a schedule is not due, so that each of thousands of occurrences is compared with
//! all entries at once.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};

use super::{Entry, YearlyDate};

/// The years with dates in the set. Local time may be in the year before the first occurrence, or after the
/// last.
const YEARS: RangeInclusive<i32> = 1969..=2101;

/// A set of dates.
#[derive(Clone, Debug, Default)]
pub(super) struct Dates {
    /// The days of each month that are in the set in every year, as bits.
    yearly: [u32; 12],
    /// The first and the last date of each range. In ascending order, and none touches another.
    ranges: Vec<(NaiveDate, NaiveDate)>,
}

impl Dates {
    /// The dates of all entries.
    pub(super) fn of(entries: &[Entry]) -> Dates {
        let mut dates = Dates::default();
        let mut ranges = Vec::new();
        for entry in entries {
            match *entry {
                Entry::Dates(first, last) => ranges.push((first, last)),
                Entry::Yearly(first, last) => dates.add_yearly(first, last),
                Entry::Time(_) => {}
            }
        }
        ranges.sort_unstable();
        for (first, last) in ranges {
            match dates.ranges.last_mut() {
                Some((_, end)) if Some(first) <= end.succ_opt() => *end = last.max(*end),
                _ => dates.ranges.push((first, last)),
            }
        }
        dates
    }

    fn add_yearly(&mut self, first: YearlyDate, last: YearlyDate) {
        for month in 1..=12 {
            for day in 1..=31 {
                let date = YearlyDate { month, day };
                let is_within = match first <= last {
                    true => first <= date && date <= last,
                    false => first <= date || date <= last,
                };
                self.yearly[month as usize - 1] |= u32::from(is_within) << day;
            }
        }
    }

    /// Whether it has `date`.
    pub(super) fn has(&self, date: NaiveDate) -> bool {
        YEARS.contains(&date.year()) && (self.is_yearly(date) || self.range(date).is_some())
    }

    /// The first date after `date` that is not in the set.
    pub(super) fn end_of_run(&self, mut date: NaiveDate) -> NaiveDate {
        while self.has(date) {
            let last = self.range(date).map_or(date, |(_, last)| last);
            let Some(next) = last.succ_opt() else { break };
            date = next;
        }
        date
    }

    /// The first of the consecutive dates in the set that end with `date`.
    pub(super) fn start_of_run(&self, mut date: NaiveDate) -> NaiveDate {
        while let Some(before) = self.range(date).map_or(date, |(first, _)| first).pred_opt()
            && self.has(before)
        {
            date = before;
        }
        self.range(date).map_or(date, |(first, _)| first)
    }

    fn is_yearly(&self, date: NaiveDate) -> bool {
        self.yearly[date.month0() as usize] >> date.day() & 1 == 1
    }

    /// The range that contains `date`.
    fn range(&self, date: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
        let after = self.ranges.partition_point(|(first, _)| *first <= date);
        let range = *self.ranges[..after].last()?;
        (date <= range.1).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn yearly(first: (u32, u32), last: (u32, u32)) -> Entry {
        let [first, last] = [first, last].map(|(month, day)| YearlyDate { month, day });
        Entry::Yearly(first, last)
    }

    #[test]
    fn a_run_extends_over_all_entries_that_touch() {
        let dates = Dates::of(&[
            Entry::Dates(date("2027-01-03"), date("2027-01-05")),
            Entry::Dates(date("2027-01-01"), date("2027-01-04")),
            Entry::Dates(date("2027-01-06"), date("2027-01-06")),
            yearly((12, 24), (12, 31)),
        ]);
        for within in ["2026-12-24", "2026-12-31", "2027-01-01", "2027-01-04", "2027-01-06"] {
            assert!(dates.has(date(within)), "{within}");
            assert_eq!(dates.start_of_run(date(within)), date("2026-12-24"), "{within}");
            assert_eq!(dates.end_of_run(date(within)), date("2027-01-07"), "{within}");
        }
        for outside in ["2026-12-23", "2027-01-07", "2028-01-01"] {
            assert!(!dates.has(date(outside)), "{outside}");
        }
        assert_eq!(dates.end_of_run(date("2030-12-25")), date("2031-01-01"));
    }

    #[test]
    fn a_yearly_range_may_extend_into_the_next_year_and_the_set_ends_with_the_years() {
        let all = Dates::of(&[yearly((3, 1), (2, 29))]);
        assert_eq!(all.end_of_run(date("2026-07-01")), date("2102-01-01"));
        assert_eq!(all.start_of_run(date("2026-07-01")), date("1969-01-01"));
        let winter = Dates::of(&[yearly((12, 30), (1, 2))]);
        assert_eq!(winter.end_of_run(date("2026-12-30")), date("2027-01-03"));
        assert_eq!(winter.start_of_run(date("2027-01-02")), date("2026-12-30"));
    }
}
