//! Parses a recurrence rule: `FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::super::error::{ScheduleError, did_you_mean, shown};
use super::super::set::Set;
use super::{NthWeekday, Parts};
use crate::clock::Time;
use crate::date_fault::date_fault;

/// The longest valid rule, in bytes.
const BYTES_MAX: usize = 1024;
/// The most times of day that a rule can name.
const TIMES_MAX: usize = 288;
/// The most occurrences that COUNT can name, and the largest INTERVAL.
const NUMBER_MAX: i32 = 10_000;

/// The unit of a rule's periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When a rule ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum End {
    Never,
    Count(u32),
    /// The last local time.
    Until(NaiveDateTime),
    UntilInstant(Time),
}

const PARTS: [&str; 12] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
    "WKST",
];
/// Known parts of RFC 5545 and RFC 7529 that are not supported.
const UNSUPPORTED: [&str; 4] = ["BYYEARDAY", "BYWEEKNO", "RSCALE", "SKIP"];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Mon),
    ("TU", Weekday::Tue),
    ("WE", Weekday::Wed),
    ("TH", Weekday::Thu),
    ("FR", Weekday::Fri),
    ("SA", Weekday::Sat),
    ("SU", Weekday::Sun),
];

/// The parts of a rule as they are written: name and value.
struct Written<'a> {
    rule: &'a str,
    parts: Vec<(String, &'a str)>,
}

impl Parts {
    /// Parses a rule whose first time is at `start`.
    pub(super) fn read(text: &str, start: NaiveDateTime) -> Result<Parts, ScheduleError> {
        let written = Written::read(text)?;
        let frequency = written.frequency()?;
        let months = written.numbers("BYMONTH", 1..=12)?;
        let mut parts = Parts {
            frequency,
            interval: written.number("INTERVAL")?.unwrap_or(1),
            months: months.iter().fold(Set::default(), |mut set, month| {
                set.add(month.unsigned_abs());
                set
            }),
            month_days: written.signed_numbers("BYMONTHDAY", 31)?,
            weekdays: written.weekdays(frequency)?,
            times: written.times(start)?,
            positions: written.signed_numbers("BYSETPOS", 366)?,
            week_start: written.week_start()?,
            end: written.end()?,
        };
        if frequency == Frequency::Weekly && !parts.month_days.is_empty() {
            let error = written.error("BYMONTHDAY", "can't be used with FREQ=WEEKLY");
            return Err(error.remedy("use FREQ=MONTHLY or FREQ=DAILY"));
        }
        let names_some = |name: &str| name.starts_with("BY") && name != "BYSETPOS";
        if !parts.positions.is_empty() && !written.parts.iter().any(|(name, _)| names_some(name)) {
            let error = written.error("BYSETPOS", "needs another BY part, from which it chooses");
            return Err(error.remedy("such as BYDAY=MO,TU,WE,TH,FR"));
        }
        parts.complete(start);
        Ok(parts)
    }

    /// Takes the dates that the rule does not name from the start.
    fn complete(&mut self, start: NaiveDateTime) {
        if !self.month_days.is_empty() || !self.weekdays.is_empty() {
            return;
        }
        match self.frequency {
            Frequency::Daily => {}
            Frequency::Weekly => {
                self.weekdays.push(NthWeekday { nth: 0, weekday: start.weekday() });
            }
            Frequency::Monthly => self.month_days.push(start.day() as i32),
            Frequency::Yearly => {
                self.month_days.push(start.day() as i32);
                if self.months.is_empty() {
                    self.months.add(start.month());
                }
            }
        }
    }
}

impl<'a> Written<'a> {
    fn read(rule: &'a str) -> Result<Written<'a>, ScheduleError> {
        let error = |message: String| ScheduleError::new("rrule", message);
        if rule.len() > BYTES_MAX {
            return Err(error(format!("the rule has {} bytes, more than {BYTES_MAX}", rule.len())));
        }
        let text = match rule.split_at_checked(6) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("RRULE:") => rest,
            _ => rule,
        };
        if text.contains([':', '\n']) {
            let remedy = "write the RRULE here, its DTSTART in `start`, EXDATE in `except`, and RDATE as an \
                          `at` in `any`; `polychron schedule translate` does so";
            return Err(error("has more than a recurrence rule".to_owned()).remedy(remedy));
        }
        let mut written = Written { rule, parts: Vec::new() };
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let at = |error: ScheduleError| error.at(rule, range_of(rule, part));
            let Some((name, value)) = part.split_once('=') else {
                let message = format!("`{}` isn't a part such as FREQ=WEEKLY", shown(part));
                return Err(at(error(message)));
            };
            let name = name.trim().to_ascii_uppercase();
            if UNSUPPORTED.contains(&&*name) {
                let remedy = "use BYMONTH, BYMONTHDAY, BYDAY and BYSETPOS";
                return Err(at(error(format!("{name} isn't supported")).remedy(remedy)));
            }
            if !PARTS.contains(&&*name) {
                let remedy = did_you_mean(&name, PARTS)
                    .unwrap_or_else(|| format!("use {}", PARTS.join(", ")));
                return Err(at(error(format!("`{}` is unknown", shown(&name))).remedy(remedy)));
            }
            if written.get(&name).is_some() {
                return Err(at(error(format!("{name} is given twice"))));
            }
            written.parts.push((name, value.trim()));
        }
        Ok(written)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// An error about a part, which it underlines.
    fn error(&self, name: &str, message: impl Into<String>) -> ScheduleError {
        let error = ScheduleError::new("rrule", format!("{name} {}", message.into()));
        match self.get(name) {
            Some(value) => error.at(self.rule, range_of(self.rule, value)),
            None => error,
        }
    }

    fn frequency(&self) -> Result<Frequency, ScheduleError> {
        let Some(text) = self.get("FREQ") else {
            let error = ScheduleError::new("rrule", "has no FREQ");
            return Err(error.remedy("write FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"));
        };
        match text.to_ascii_uppercase().as_str() {
            "DAILY" => Ok(Frequency::Daily),
            "WEEKLY" => Ok(Frequency::Weekly),
            "MONTHLY" => Ok(Frequency::Monthly),
            "YEARLY" => Ok(Frequency::Yearly),
            "HOURLY" | "MINUTELY" | "SECONDLY" => {
                let message = format!("{} isn't supported", shown(text));
                let remedy = r#"use `cron`, or `every` such as {"every":"2h"}"#;
                Err(self.error("FREQ", message).remedy(remedy))
            }
            _ => {
                let message = format!("`{}` is unknown", shown(text));
                Err(self.error("FREQ", message).remedy("write DAILY, WEEKLY, MONTHLY or YEARLY"))
            }
        }
    }

    /// A positive number.
    fn number(&self, name: &'static str) -> Result<Option<u32>, ScheduleError> {
        let numbers = self.numbers(name, 1..=NUMBER_MAX)?;
        match numbers[..] {
            [] => Ok(None),
            [number] => Ok(Some(number.unsigned_abs())),
            _ => Err(self.error(name, "takes a single number")),
        }
    }

    /// A list of numbers; empty if the part is missing, as in the methods below.
    fn numbers(
        &self,
        name: &'static str,
        valid: RangeInclusive<i32>,
    ) -> Result<Vec<i32>, ScheduleError> {
        let Some(text) = self.get(name) else { return Ok(Vec::new()) };
        let read = |item: &str| match number(item.trim()) {
            Some(number) if valid.contains(&number) => Ok(number),
            Some(number) => {
                let (first, last) = (valid.start(), valid.end());
                Err(self.error(name, format!("{number} is outside {first}–{last}")))
            }
            None => Err(self.error(name, format!("`{}` isn't a number", shown(item)))),
        };
        text.split(',').map(read).collect()
    }

    /// A list of numbers from 1 to `last` or from -1 to -`last`.
    fn signed_numbers(&self, name: &'static str, last: i32) -> Result<Vec<i32>, ScheduleError> {
        let numbers = self.numbers(name, -last..=last)?;
        if numbers.contains(&0) {
            return Err(self.error(name, format!("0 is neither in 1–{last} nor in -{last}–-1")));
        }
        Ok(numbers)
    }

    fn weekdays(&self, frequency: Frequency) -> Result<Vec<NthWeekday>, ScheduleError> {
        let Some(text) = self.get("BYDAY") else { return Ok(Vec::new()) };
        let read = |item: &str| {
            let item = item.trim();
            let wrong = || {
                let error =
                    self.error("BYDAY", format!("`{}` isn't a day of the week", shown(item)));
                error.remedy("write MO to SU, or with a position: 2FR, -1MO")
            };
            let (nth, name) = item
                .len()
                .checked_sub(2)
                .and_then(|at| item.split_at_checked(at))
                .ok_or_else(wrong)?;
            let weekday = weekday(name).ok_or_else(wrong)?;
            let nth = if nth.is_empty() {
                0
            } else {
                number(nth).filter(|nth| *nth != 0).ok_or_else(wrong)?
            };
            let last = match frequency {
                Frequency::Monthly => 5,
                Frequency::Yearly => 53,
                Frequency::Daily | Frequency::Weekly => 0,
            };
            if nth.abs() > last {
                let message = match last {
                    0 => format!("{nth}{name} needs FREQ=MONTHLY or FREQ=YEARLY"),
                    _ => format!("{nth}{name} is outside 1–{last}"),
                };
                return Err(self.error("BYDAY", message));
            }
            Ok(NthWeekday { nth, weekday })
        };
        text.split(',').map(read).collect()
    }

    /// The times of each day. What the rule does not name is the start's.
    fn times(&self, start: NaiveDateTime) -> Result<Vec<NaiveTime>, ScheduleError> {
        let values = |name, last, of_start: u32| -> Result<BTreeSet<u32>, ScheduleError> {
            let numbers = self.numbers(name, 0..=last)?;
            let values: BTreeSet<u32> =
                numbers.iter().map(|number| number.unsigned_abs()).collect();
            Ok(if values.is_empty() { BTreeSet::from([of_start]) } else { values })
        };
        let hours = values("BYHOUR", 23, start.hour())?;
        let minutes = values("BYMINUTE", 59, start.minute())?;
        let seconds = values("BYSECOND", 59, start.second())?;
        let count = hours.len() * minutes.len() * seconds.len();
        if count > TIMES_MAX {
            let message = format!(
                "BYHOUR, BYMINUTE and BYSECOND name {count} times a day, more than {TIMES_MAX}"
            );
            return Err(ScheduleError::new("rrule", message).remedy("use `cron`"));
        }
        let times = hours.iter().flat_map(|hour| {
            let minutes = minutes
                .iter()
                .flat_map(|minute| seconds.iter().map(move |second| (minute, second)));
            minutes.filter_map(move |(minute, second)| {
                NaiveTime::from_hms_opt(*hour, *minute, *second)
            })
        });
        Ok(times.collect())
    }

    fn week_start(&self) -> Result<Weekday, ScheduleError> {
        let Some(text) = self.get("WKST") else { return Ok(Weekday::Mon) };
        weekday(text).ok_or_else(|| {
            let error = self.error("WKST", format!("`{}` isn't a day of the week", shown(text)));
            error.remedy("write MO to SU")
        })
    }

    fn end(&self) -> Result<End, ScheduleError> {
        let count = self.number("COUNT")?;
        let Some(text) = self.get("UNTIL") else {
            return Ok(count.map_or(End::Never, End::Count));
        };
        if count.is_some() {
            return Err(self
                .error("COUNT", "can't be used with UNTIL")
                .remedy("leave one of them out"));
        }
        let upper = text.to_ascii_uppercase();
        let (time, is_utc) = match upper.strip_suffix('Z') {
            Some(time) => (time, true),
            None => (&*upper, false),
        };
        let date = || {
            let date = NaiveDate::parse_from_str(time, "%Y%m%d").ok().filter(|_| !is_utc)?;
            // The whole day, as calendars mean it.
            date.and_hms_opt(23, 59, 59)
        };
        let read = if time.len() == 8 {
            date()
        } else {
            NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S").ok()
        };
        let Some(until) = read.filter(|until| (1970..=9999).contains(&until.year())) else {
            let message = match date_fault(&upper) {
                Some(fault) => format!("`{}`: {fault}", shown(text)),
                None => format!("`{}` isn't a time", shown(text)),
            };
            let error = self.error("UNTIL", message);
            return Err(error.remedy("write 20271231, 20271231T235959 or 20271231T235959Z"));
        };
        Ok(if is_utc {
            End::UntilInstant(Time::nearest(until.and_utc()))
        } else {
            End::Until(until)
        })
    }
}

fn number(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number =
        (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn weekday(text: &str) -> Option<Weekday> {
    let known = WEEKDAYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
    Some(known.1)
}

/// The bytes of a part within the rule.
fn range_of(rule: &str, part: &str) -> std::ops::Range<usize> {
    let start = part.as_ptr().addr() - rule.as_ptr().addr();
    start..start + part.len()
}
