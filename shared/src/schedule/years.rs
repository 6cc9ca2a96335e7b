//! The years of a cron schedule: `2026-2028,2030`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::error::{ScheduleError, shown};

const VALID: RangeInclusive<i32> = 1970..=2100;

/// Some years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Years(BTreeSet<i32>);

impl Years {
    /// Parses a list of years, ranges and steps, as in a field of a cron expression.
    pub(super) fn read(text: &str) -> Result<Years, ScheduleError> {
        let mut years = BTreeSet::new();
        for item in text.split(',') {
            let error = |message: &str| {
                let error = ScheduleError::new("years", format!("`{}` {message}", shown(item)));
                error.remedy("write 2026, 2026-2028, 2026/2 or a list of these, from 1970 to 2100")
            };
            let (base, step) = match item.split_once('/') {
                Some((base, step)) => (base.trim(), Some(step.trim())),
                None => (item.trim(), None),
            };
            let step_by = match step.map(str::parse::<usize>) {
                None => 1,
                Some(Ok(step)) if step > 0 => step,
                Some(_) => return Err(error("has an invalid step")),
            };
            let year = |text: &str| {
                let year = text.trim().parse::<i32>().map_err(|_| error("isn't a year"))?;
                if VALID.contains(&year) { Ok(year) } else { Err(error("is out of range")) }
            };
            let (first, last) = match base.split_once('-') {
                _ if base == "*" => (*VALID.start(), *VALID.end()),
                Some((first, last)) => (year(first)?, year(last)?),
                None if step.is_some() => (year(base)?, *VALID.end()),
                None => (year(base)?, year(base)?),
            };
            if first > last {
                return Err(error("runs backwards"));
            }
            years.extend((first..=last).step_by(step_by));
        }
        Ok(Years(years))
    }

    pub(super) fn has(&self, year: i32) -> bool {
        self.0.contains(&year)
    }

    /// The runs of consecutive years, each with its first and last one.
    pub(super) fn runs(&self) -> Vec<(i32, i32)> {
        let mut runs: Vec<(i32, i32)> = Vec::new();
        for year in &self.0 {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *year => *last = *year,
                _ => runs.push((*year, *year)),
            }
        }
        runs
    }
}
