//! Parses one entry of a cron field's list: `*/5`, `MON-FRI`, `15W`, `H(0-29)`.

use super::days::{DaysOfMonth, DaysOfWeek, MonthDay, WeekDay};
use super::error::{ScheduleError, did_you_mean, shown};
use super::field::{Field, WEEKDAY_NAMES};
use super::part::Part;
use super::set::Set;
use super::spread::Spread;

/// All values of one field.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub listed: Set,
    month_days: Vec<MonthDay>,
    week_days: Vec<WeekDay>,
}

impl Values {
    pub(super) fn days_of_month(self) -> DaysOfMonth {
        DaysOfMonth { listed: self.listed, special: self.month_days }
    }

    pub(super) fn days_of_week(self) -> DaysOfWeek {
        DaysOfWeek { listed: self.listed, special: self.week_days }
    }

    fn add(&mut self, field: Field, values: Set) {
        for value in values.values() {
            // 0 and 7 are both Sunday.
            self.listed.add(if field == Field::DayOfWeek { value % 7 } else { value });
        }
    }
}

/// Parses `item` and adds it to `values`.
pub(super) fn read(
    field: Field,
    item: Part<'_>,
    spread: Spread,
    values: &mut Values,
) -> Result<(), ScheduleError> {
    if field == Field::DayOfMonth && special_month_day(item, values)?
        || field == Field::DayOfWeek && special_week_day(item, values)?
    {
        return Ok(());
    }
    let (base, step) = match item.divide('/') {
        Some((base, step)) => (base, Some(read_step(field, step)?)),
        None => (item, None),
    };
    let text = base.text();
    if text.starts_with(['H', 'h']) {
        values.add(field, spread_over(field, base, step, spread)?);
        return Ok(());
    }
    let (first, last) = if text == "*" {
        (field.first(), field.last())
    } else if let Some((first, last)) = base.divide('-') {
        range(field, base, first, last)?
    } else {
        let first = number(field, base)?;
        (first, if step.is_some() { field.last() } else { first })
    };
    values.add(field, Set::stepped(first, last, step.unwrap_or(1)));
    Ok(())
}

/// `first-last`.
fn range(
    field: Field,
    whole: Part<'_>,
    first: Part<'_>,
    last: Part<'_>,
) -> Result<(u32, u32), ScheduleError> {
    let from = number(field, first)?;
    let mut to = number(field, last)?;
    if field == Field::DayOfWeek && last.text().eq_ignore_ascii_case("SUN") && to < from {
        // As the end of a range, Sunday is day 7.
        to = 7;
    }
    if from > to {
        let message = format!("{} {} runs backwards", field.name(), whole.text());
        let (end, start) = (field.last_spread().max(from), field.first());
        let remedy = format!("write {from}-{end},{start}-{to}");
        return Err(whole.error(message).remedy(remedy));
    }
    Ok((from, to))
}

/// `H` or `H(a-b)`, with or without a step.
fn spread_over(
    field: Field,
    base: Part<'_>,
    step: Option<u32>,
    spread: Spread,
) -> Result<Set, ScheduleError> {
    let inner = base.slice(1..base.text().len());
    let (first, last) = if inner.text().is_empty() {
        (field.first(), field.last_spread())
    } else {
        let range_of = || {
            let text = inner.text();
            (text.starts_with('(') && text.ends_with(')'))
                .then(|| inner.slice(1..text.len() - 1))?
                .divide('-')
        };
        let Some((first, last)) = range_of() else {
            let message = format!("{} `{}` is invalid", field.name(), shown(base.text()));
            return Err(base.error(message).remedy("write H, H/15, H(0-29) or H(0-29)/10"));
        };
        range(field, inner, first, last)?
    };
    let width = last - first + 1;
    // With a step, only the first value is spread.
    let choices = step.unwrap_or(width).min(width);
    let chosen = first + spread.pick(field as u64, choices.into()) as u32;
    Ok(match step {
        Some(step) => Set::stepped(chosen, last, step),
        None => Set::range(chosen, chosen),
    })
}

/// The most days from Monday to Friday that a month has.
const WEEKDAYS_MAX: u32 = 23;

/// Parses `L`, `L-3`, `LW`, `LW-2`, `L-3W`, `15W` or `W#3`. Returns whether it was one of them.
fn special_month_day(item: Part<'_>, values: &mut Values) -> Result<bool, ScheduleError> {
    let text = item.text().to_ascii_uppercase();
    let special = if text == "L" {
        MonthDay::Last(0)
    } else if text == "LW" || text == "WL" {
        MonthDay::LastWeekday
    } else if text.starts_with("LW-") {
        let before = item.slice(3..text.len());
        let days = digits(Field::DayOfMonth, before)?;
        if days >= WEEKDAYS_MAX {
            let message = format!("no month has a weekday {days} weekdays before its last");
            return Err(before.error(message).remedy("write LW-1 to LW-22"));
        }
        MonthDay::BeforeLastWeekday(days)
    } else if text.starts_with("W#") {
        let nth = item.slice(2..text.len());
        let number = digits(Field::DayOfMonth, nth)?;
        if !(1..=WEEKDAYS_MAX).contains(&number) {
            let message = format!("no month has a weekday #{number}");
            return Err(nth.error(message).remedy("write W#1 to W#23, or LW for the last"));
        }
        MonthDay::NthWeekday(number)
    } else if text.starts_with("L-") && text.ends_with('W') {
        let before = item.slice(2..text.len() - 1);
        let days = digits(Field::DayOfMonth, before)?;
        if days > 30 {
            let message = format!("no month has a day {days} days before its last");
            return Err(before.error(message).remedy("write L-1W to L-30W"));
        }
        MonthDay::NearestToLast(days)
    } else if text.starts_with("L-") {
        let before = item.slice(2..text.len());
        let days = digits(Field::DayOfMonth, before)?;
        if days > 30 {
            let message = format!("no month has a day {days} days before its last");
            return Err(before.error(message).remedy("write L-1 to L-30"));
        }
        MonthDay::Last(days)
    } else if text.ends_with('W') {
        let day = item.slice(0..text.len() - 1);
        if day.text().contains(['-', '/']) || day.text() == "*" {
            let message = format!("`W` takes a single day, not `{}`", shown(day.text()));
            return Err(item.error(message).remedy("write 15W, or a list such as 1W,15W"));
        }
        MonthDay::Nearest(number(Field::DayOfMonth, day)?)
    } else {
        return Ok(false);
    };
    values.month_days.push(special);
    Ok(true)
}

/// Parses `5L` or `FRI#2`. Returns whether it was one of them.
fn special_week_day(item: Part<'_>, values: &mut Values) -> Result<bool, ScheduleError> {
    let text = item.text().to_ascii_uppercase();
    let special = if text == "L" {
        let error = item.error("`L` alone isn't a day of the week");
        return Err(error.remedy("write 5L for the last Friday of the month, or 6 for Saturday"));
    } else if let Some((day, nth)) = item.divide('#') {
        let day = number(Field::DayOfWeek, day)? % 7;
        if nth.text().eq_ignore_ascii_case("L") {
            return Err(item.error("`#` needs a number").remedy(format!("write {day}L")));
        }
        let week = digits(Field::DayOfWeek, nth)?;
        if !(1..=5).contains(&week) {
            let message = format!("no month has a {} #{week}", WEEKDAY_NAMES[day as usize]);
            return Err(nth.error(message).remedy("write #1 to #5, or L for the last"));
        }
        WeekDay::Nth { day, nth: week }
    } else if text.ends_with('L') {
        WeekDay::Last(number(Field::DayOfWeek, item.slice(0..text.len() - 1))? % 7)
    } else {
        return Ok(false);
    };
    values.week_days.push(special);
    Ok(true)
}

fn read_step(field: Field, step: Part<'_>) -> Result<u32, ScheduleError> {
    let number = digits(field, step)?;
    if number == 0 {
        let message = format!("{} has a step of 0", field.name());
        return Err(step.error(message).remedy("write a step of 1 or more"));
    }
    Ok(number)
}

/// A number or a name, within the field's bounds.
fn number(field: Field, part: Part<'_>) -> Result<u32, ScheduleError> {
    let text = part.text();
    if let Some(number) = field.number_of(text) {
        return Ok(number);
    }
    let number = digits(field, part)?;
    if (field.first()..=field.last()).contains(&number) {
        return Ok(number);
    }
    let message = format!("{} {number} is outside {}", field.name(), field.bounds());
    let error = part.error(message);
    Err(match (field, number) {
        (Field::Hour, 24) => error.remedy("write 0 for midnight"),
        (Field::Minute | Field::Second, 60) => error.remedy("write 0"),
        (Field::DayOfWeek, _) => error.remedy("0 and 7 are both Sunday"),
        _ => error,
    })
}

/// A number of at most four digits, whatever the field's bounds.
fn digits(field: Field, part: Part<'_>) -> Result<u32, ScheduleError> {
    let text = part.text();
    let name = field.name();
    if text.is_empty() {
        // The missing number cannot be underlined, so underline the character next to it.
        let neighbours = [
            part.start.checked_sub(1).map(|start| (start, part.end)),
            Some((part.start, part.end + 1)),
        ];
        let neighbour = neighbours.into_iter().flatten().find(|(start, end)| {
            part.expression.get(*start..*end).is_some_and(|text| !text.trim().is_empty())
        });
        let (start, end) = neighbour.unwrap_or((part.start, part.end));
        return Err(Part { start, end, ..part }.error(format!("{name} lacks a number")));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number(field, part));
    }
    let significant = text.trim_start_matches('0');
    if significant.len() > 4 {
        return Err(part.error(format!("{name} {} is too large a number", shown(text))));
    }
    Ok(significant.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

fn not_a_number(field: Field, part: Part<'_>) -> ScheduleError {
    let text = part.text();
    let error = part.error(format!("{} `{}` isn't a number", field.name(), shown(text)));
    if text == "?" {
        return error.remedy("write *");
    }
    let beginning = text.get(..3).filter(|beginning| text.len() > 3 && beginning.is_ascii());
    if let Some(number) = beginning.and_then(|beginning| field.number_of(beginning)) {
        let name = field.names()[(number - field.first()) as usize];
        return error.remedy(format!("write {name} or {number}"));
    }
    if field.names().is_empty() {
        return error;
    }
    match did_you_mean(text, field.names().iter().copied()) {
        Some(remedy) => error.remedy(remedy),
        None => error.remedy(format!("write {} or {}", field.bounds(), field.names().join(", "))),
    }
}
