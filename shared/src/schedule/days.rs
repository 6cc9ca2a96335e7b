//! Which days a cron expression matches, including `L`, `W` and `#`.

use chrono::{Datelike, NaiveDate};

use super::set::Set;
use super::years::Years;

/// The days of the two day fields and the month field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    pub of_month: DaysOfMonth,
    pub months: Set,
    pub of_week: DaysOfWeek,
    /// Whether a day needs to match only one of the two day fields, which is so if neither begins
    /// with `*`.
    pub either: bool,
    /// The years, if it has them.
    pub years: Option<Years>,
}

/// The day-of-month field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DaysOfMonth {
    pub listed: Set,
    pub special: Vec<MonthDay>,
}

/// The day-of-week field; 0 is Sunday.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DaysOfWeek {
    pub listed: Set,
    pub special: Vec<WeekDay>,
}

/// A day of the month whose number depends on the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonthDay {
    /// `L` or `L-n`: this many days before the last day.
    Last(u32),
    /// `LW`: the last day from Monday to Friday.
    LastWeekday,
    /// `nW`: the day from Monday to Friday nearest to day `n`, in the same month.
    Nearest(u32),
    /// `L-nW`: the same for the day that is `n` days before the last.
    NearestToLast(u32),
    /// `W#n`: the n-th day from Monday to Friday.
    NthWeekday(u32),
    /// `LW-n`: this many days from Monday to Friday before the last one.
    BeforeLastWeekday(u32),
}

/// A day of the week in a certain week of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeekDay {
    /// `d#n`: the n-th such day of the month.
    Nth { day: u32, nth: u32 },
    /// `dL`: the last such day of the month.
    Last(u32),
}

impl Days {
    /// Whether the expression matches this day.
    pub(super) fn matches(&self, date: NaiveDate) -> bool {
        let is_in_years = self.years.as_ref().is_none_or(|years| years.has(date.year()));
        if !self.months.has(date.month()) || !is_in_years {
            return false;
        }
        if self.either {
            self.of_month.matches(date) || self.of_week.matches(date)
        } else {
            self.of_month.matches(date) && self.of_week.matches(date)
        }
    }
}

impl DaysOfMonth {
    /// A superset of the days of the month that this field matches in any month.
    pub(super) fn candidates(&self) -> Set {
        self.special.iter().fold(self.listed, |set, special| set.union(special.candidates()))
    }

    fn matches(&self, date: NaiveDate) -> bool {
        self.listed.has(date.day()) || self.special.iter().any(|special| special.matches(date))
    }
}

impl DaysOfWeek {
    /// A superset of the days of the week that this field matches.
    pub(super) fn weekdays(&self) -> Set {
        self.special.iter().fold(self.listed, |mut set, special| {
            let (WeekDay::Nth { day, .. } | WeekDay::Last(day)) = special;
            set.add(*day);
            set
        })
    }

    /// A superset of the days of the month that this field matches in any month.
    pub(super) fn candidates(&self) -> Set {
        if !self.listed.is_empty() {
            return Set::range(1, 31);
        }
        self.special.iter().fold(Set::default(), |set, special| {
            set.union(match special {
                WeekDay::Nth { nth, .. } => Set::range(7 * nth - 6, (7 * nth).min(31)),
                WeekDay::Last(_) => Set::range(22, 31),
            })
        })
    }

    fn matches(&self, date: NaiveDate) -> bool {
        self.listed.has(weekday(date)) || self.special.iter().any(|special| special.matches(date))
    }
}

impl MonthDay {
    fn candidates(self) -> Set {
        match self {
            MonthDay::Last(before) => Set::range(28u32.saturating_sub(before).max(1), 31 - before),
            MonthDay::LastWeekday => Set::range(26, 31),
            MonthDay::Nearest(day) => Set::range(day.saturating_sub(2).max(1), (day + 2).min(31)),
            MonthDay::NearestToLast(before) => {
                Set::range(26u32.saturating_sub(before).max(1), (33 - before).min(31))
            }
            MonthDay::NthWeekday(nth) => {
                let earliest = nth + (nth - 1) / 5 * 2;
                Set::range(earliest, (earliest + 2).min(31))
            }
            MonthDay::BeforeLastWeekday(before) => {
                let nearest = before + before / 5 * 2;
                Set::range(26u32.saturating_sub(nearest).max(1), 31u32.saturating_sub(nearest))
            }
        }
    }

    fn matches(self, date: NaiveDate) -> bool {
        let last = last_day(date);
        match self {
            MonthDay::Last(before) => date.day() + before == last,
            MonthDay::LastWeekday => nearest_weekday(date, last) == Some(date.day()),
            MonthDay::Nearest(day) => nearest_weekday(date, day) == Some(date.day()),
            MonthDay::NearestToLast(before) => {
                let day = last.checked_sub(before);
                day.and_then(|day| nearest_weekday(date, day)) == Some(date.day())
            }
            MonthDay::NthWeekday(nth) => weekdays(date, 1..=date.day()) == nth && is_weekday(date),
            MonthDay::BeforeLastWeekday(before) => {
                weekdays(date, date.day() + 1..=last) == before && is_weekday(date)
            }
        }
    }
}

impl WeekDay {
    fn matches(self, date: NaiveDate) -> bool {
        match self {
            WeekDay::Nth { day, nth } => weekday(date) == day && date.day().div_ceil(7) == nth,
            WeekDay::Last(day) => weekday(date) == day && date.day() + 7 > last_day(date),
        }
    }
}

/// How many of these days of the month of `date` are from Monday to Friday.
fn weekdays(date: NaiveDate, days: std::ops::RangeInclusive<u32>) -> u32 {
    // The first day of the month, from Sunday on.
    let first = (weekday(date) + 35 - date.day0()) % 7;
    days.filter(|day| !matches!((first + day - 1) % 7, 0 | 6)).count() as u32
}

fn is_weekday(date: NaiveDate) -> bool {
    !matches!(weekday(date), 0 | 6)
}

/// The day from Monday to Friday nearest to `day` in the month of `date`; none if that month does
/// not have `day`.
fn nearest_weekday(date: NaiveDate, day: u32) -> Option<u32> {
    let wanted = date.with_day(day)?;
    Some(match weekday(wanted) {
        6 if day == 1 => day + 2,
        6 => day - 1,
        0 if day == last_day(date) => day - 2,
        0 => day + 1,
        _ => day,
    })
}

fn weekday(date: NaiveDate) -> u32 {
    date.weekday().num_days_from_sunday()
}

fn last_day(date: NaiveDate) -> u32 {
    date.num_days_in_month().into()
}
