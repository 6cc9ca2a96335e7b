//! The six fields of a cron expression, with their bounds and names.

/// A field of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

/// Numbered from 1.
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// Numbered from 0.
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// For descriptions, numbered from 0.
pub(super) const WEEKDAY_NAMES: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// For descriptions, numbered from 1.
pub(super) const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::DayOfWeek => "day of week",
        }
    }

    pub(super) fn first(self) -> u32 {
        match self {
            Field::Second | Field::Minute | Field::Hour | Field::DayOfWeek => 0,
            Field::DayOfMonth | Field::Month => 1,
        }
    }

    pub(super) fn last(self) -> u32 {
        match self {
            Field::Second | Field::Minute => 59,
            Field::Hour => 23,
            Field::DayOfMonth => 31,
            Field::Month => 12,
            // 7 is Sunday, too.
            Field::DayOfWeek => 7,
        }
    }

    /// The last value that a plain `H` may take. Every month has it, and no two values mean the
    /// same day.
    pub(super) fn last_spread(self) -> u32 {
        match self {
            Field::DayOfMonth => 28,
            Field::DayOfWeek => 6,
            _ => self.last(),
        }
    }

    /// The names of the field's numbers, starting with the first.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }

    /// The number with this name, ignoring case.
    pub(super) fn number_of(self, name: &str) -> Option<u32> {
        let at = self.names().iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(self.first() + at as u32)
    }

    /// The valid values, for messages.
    pub(super) fn bounds(self) -> &'static str {
        match self {
            Field::Second | Field::Minute => "0–59",
            Field::Hour => "0–23",
            Field::DayOfMonth => "1–31",
            Field::Month => "1–12",
            Field::DayOfWeek => "0–7",
        }
    }
}
