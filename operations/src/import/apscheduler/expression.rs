//! A cron trigger's fields as a cron expression, or as a recurrence rule.
//!
//! APScheduler differs in four ways: weekdays count from Monday; a day must match `day` *and*
//! `day_of_week`; positions such as `3rd fri` are values of the day of the month; and a missing field is
//! `*` before the last field that is stated, and its minimum after it.

use serde_json::{Map, Value};

use super::super::cron;
use super::super::days::{BothDays, NOTE, values};

/// From the most significant to the least; the order decides the value of a missing field.
pub(super) const FIELDS: [&str; 8] =
    ["year", "month", "day", "week", "day_of_week", "hour", "minute", "second"];
/// The values of missing fields after the last one that is stated.
const MINIMA: [&str; 8] = ["*", "1", "1", "*", "*", "0", "0", "0"];
const WEEKDAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const POSITIONS: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];
/// The days of the month on which a weekday comes for the first time, the second time and so on.
const WEEKS: [(u32, u32); 5] = [(1, 7), (8, 14), (15, 21), (22, 28), (29, 31)];
const LAST_DAY: u32 = 31;

/// The schedule with notes about it, or why there is none.
pub(super) fn schedule(
    fields: &Map<String, Value>,
    zone: &str,
) -> Result<(Value, Vec<String>), String> {
    let mut texts = Vec::with_capacity(FIELDS.len());
    let last = FIELDS.iter().rposition(|field| is_stated(fields, field));
    for (at, (field, minimum)) in FIELDS.iter().zip(MINIMA).enumerate() {
        let default = if last.is_some_and(|last| at > last) { minimum } else { "*" };
        texts.push(text(fields, field)?.unwrap_or_else(|| default.to_owned()));
    }
    let [year, month, day, week, weekday, hour, minute, second] = texts.as_slice() else {
        return Err("it has no fields".to_owned());
    };
    if !is_every(year) && year_range(year).is_none() {
        return Err(format!("year='{year}' is neither one year nor from one to another"));
    }
    if !is_every(week) {
        let remedy = "an interval of weeks, or a check in the handler, may do";
        return Err(format!("week='{week}': a cron expression has no week of the year; {remedy}"));
    }
    let [hour, minute, second] =
        [plain("hour", hour)?, plain("minute", minute)?, plain("second", second)?];
    let (day, weekdays, month) = (list("day", day)?, weekdays(weekday)?, months(month)?);
    let mut notes = Vec::new();
    let (day, weekday) = match days(&day, &weekdays, &mut notes) {
        Ok(days) => days,
        Err(reason) => {
            let (second, minute, hour, month) = (&*second, &*minute, &*hour, &*month);
            let weekdays = weekdays.iter().map(|day| *day as usize).collect();
            let both = month_days(&day).map(|days| BothDays {
                second,
                minute,
                hour,
                month,
                days,
                weekdays,
            });
            let rule = both.and_then(|both| both.schedule(zone)).ok_or(reason)?;
            return Ok((rule, vec![NOTE.to_owned()]));
        }
    };
    let rest = format!("{minute} {hour} {day} {month} {weekday}");
    let expression = if second == "0" { rest } else { format!("{second} {rest}") };
    notes.insert(0, format!("read as `{expression}`"));
    Ok((cron(&expression, zone), notes))
}

/// Days by their numbers, of which -1 is the last; none if there are others.
fn month_days(day: &[&str]) -> Option<Vec<i32>> {
    let days = day.iter().map(|item| match *item {
        "last" => Some(vec![-1]),
        item => values(item, 1, 31),
    });
    Some(days.collect::<Option<Vec<_>>>()?.concat())
}

/// The first and the last year of a cron trigger; none if it has all of them.
pub(super) fn years(fields: &Map<String, Value>) -> Result<Option<(u16, u16)>, String> {
    let year = text(fields, "year")?.filter(|year| !is_every(year));
    Ok(year.and_then(|year| year_range(&year)))
}

fn year_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let year = |text: &str| text.trim().parse().ok().filter(|year| (1970..=2100).contains(year));
    let (first, last) = (year(first)?, year(last)?);
    (first <= last).then_some((first, last))
}

fn is_stated(fields: &Map<String, Value>, field: &str) -> bool {
    fields.get(field).is_some_and(|value| !value.is_null())
}

fn text(fields: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_lowercase())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{field} is neither a text nor a number")),
    }
}

/// Whether an item of a list matches every value.
fn is_every(text: &str) -> bool {
    text.split(',').any(|item| matches!(item.trim(), "*" | "*/1"))
}

/// The items of a list.
fn list<'a>(field: &str, text: &'a str) -> Result<Vec<&'a str>, String> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    match items.contains(&"") {
        true => Err(format!("{field}='{text}' has an empty entry")),
        false => Ok(items),
    }
}

/// Numbers, ranges and steps, which mean the same in both languages.
fn plain(field: &str, text: &str) -> Result<String, String> {
    let items = list(field, text)?;
    match items.iter().find(|item| !is_plain(item)) {
        Some(item) => Err(format!("{field}='{item}' isn't understood")),
        None => Ok(items.join(",")),
    }
}

fn is_plain(item: &str) -> bool {
    item.chars().all(|char| char.is_ascii_digit() || "*/-".contains(char))
}

fn months(text: &str) -> Result<String, String> {
    let named = |item: &str| item.split('-').all(|name| MONTHS.contains(&name));
    let items = list("month", text)?;
    match items.iter().find(|item| !is_plain(item) && !named(item)) {
        Some(item) => Err(format!("month='{item}' isn't understood")),
        None => Ok(items.join(",").to_uppercase()),
    }
}

/// Days of the week, counted from Monday.
fn weekdays(text: &str) -> Result<Vec<u32>, String> {
    let mut days = Vec::new();
    for item in list("day_of_week", text)? {
        let found = weekday_range(item).ok_or_else(|| {
            format!("day_of_week='{item}' isn't understood; 0 to 6 is mon to sun")
        })?;
        days.extend(found);
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

fn weekday_range(item: &str) -> Option<Vec<u32>> {
    let named = |name: &str| weekday(name).or_else(|| name.parse().ok()).filter(|day| *day < 7);
    let (range, step) = match item.split_once('/') {
        Some((range, step)) if is_plain(item) => (range, Some(step.parse::<usize>().ok()?)),
        Some(_) => return None,
        None => (item, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (0, 6),
        Some((first, last)) => (named(first)?, named(last)?),
        None => (named(range)?, if step.is_some() { 6 } else { named(range)? }),
    };
    let step = step.unwrap_or(1);
    (first <= last && step > 0).then(|| (first..=last).step_by(step).collect())
}

fn weekday(name: &str) -> Option<u32> {
    let at = WEEKDAYS.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    u32::try_from(at).ok()
}

/// The two day fields of an expression that matches the days in both `day` and `weekdays`.
fn days(
    day: &[&str],
    weekdays: &[u32],
    notes: &mut Vec<String>,
) -> Result<(String, String), String> {
    let mut of_month = Vec::new();
    let mut positions = Vec::new();
    for item in day {
        match (*item, position(item)) {
            ("last", _) => of_month.push("L".to_owned()),
            (_, Some(position)) => positions.push(position),
            (item, None) if is_plain(item) => of_month.push(item.to_owned()),
            (item, None) => return Err(format!("day='{item}' isn't understood")),
        }
    }
    let is_every_day = of_month.iter().any(|item| is_every(item));
    match (weekdays.len() == 7, is_every_day) {
        (true, true) => Ok(("*".to_owned(), "*".to_owned())),
        (true, false) if positions.is_empty() => Ok((of_month.join(","), "*".to_owned())),
        (true, false) if of_month.is_empty() => Ok(("*".to_owned(), positions.join(","))),
        // In a cron expression either field is enough, but only if the first does not begin with `*`.
        (true, false) => Ok((spelled_out(&of_month)?, positions.join(","))),
        (false, true) => Ok(("*".to_owned(), names(weekdays))),
        (false, false) if positions.is_empty() => both(of_month, weekdays, notes),
        (false, false) => Err(contradiction(day, weekdays)),
    }
}

/// `3rd fri` as `FRI#3`, `last fri` as `5L`.
fn position(item: &str) -> Option<String> {
    let (which, name) = item.split_once(' ')?;
    let day = weekday(name.trim())?;
    let at = POSITIONS.iter().position(|known| *known == which)?;
    Some(match at {
        5 => format!("{}L", (day + 1) % 7),
        at => format!("{}#{}", WEEKDAYS[day as usize], at + 1),
    })
}

/// The two day fields for days that must match both, if an expression can require that.
fn both(
    mut of_month: Vec<String>,
    weekdays: &[u32],
    notes: &mut Vec<String>,
) -> Result<(String, String), String> {
    let days = numbers(&of_month);
    let within = |(first, last): &(u32, u32)| {
        (*first..=*last).all(|day| days.as_ref().is_some_and(|days| days.contains(&day)))
    };
    let weeks: Vec<usize> = (0..WEEKS.len()).filter(|week| within(&WEEKS[*week])).collect();
    let covered: u32 = weeks.iter().map(|week| WEEKS[*week].1 - WEEKS[*week].0 + 1).sum();
    if days.as_ref().is_some_and(|days| days.len() as u32 == covered) {
        let nth = weeks.iter().flat_map(|week| {
            weekdays.iter().map(move |day| format!("{}#{}", WEEKDAYS[*day as usize], week + 1))
        });
        notes.push("whole weeks of the month and days of the week become positions".to_owned());
        return Ok(("*".to_owned(), nth.collect::<Vec<_>>().join(",")));
    }
    // If the first field begins with `*`, our cron requires both, too.
    of_month.sort_by_key(|item| !item.starts_with('*'));
    if of_month.first().is_some_and(|first| first.starts_with('*')) {
        notes.push("both day fields must match, since the first begins with `*`".to_owned());
        return Ok((of_month.join(","), names(weekdays)));
    }
    let of_month: Vec<&str> = of_month.iter().map(String::as_str).collect();
    Err(contradiction(&of_month, weekdays))
}

fn contradiction(day: &[&str], weekdays: &[u32]) -> String {
    format!(
        "day='{}' and day_of_week='{}' must both match there, and either is enough in a cron \
         expression; keep one of them, and check the other in the handler",
        day.join(",").replace('L', "last"),
        names(weekdays).to_lowercase()
    )
}

/// The days that numbers, ranges and steps match; none if there are other items.
fn numbers(items: &[String]) -> Option<Vec<u32>> {
    let mut days = Vec::new();
    for item in items {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok()?)),
            None => (item.as_str(), None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (1, LAST_DAY),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let first = range.parse().ok()?;
                (first, if step.is_some() { LAST_DAY } else { first })
            }
        };
        days.extend((first..=last.min(LAST_DAY)).step_by(step.unwrap_or(1).max(1)));
    }
    days.sort_unstable();
    days.dedup();
    Some(days)
}

/// The days that items match, one by one, so that no item contains a `*`.
fn spelled_out(items: &[String]) -> Result<String, String> {
    let (last, others): (Vec<String>, Vec<String>) =
        items.iter().cloned().partition(|item| item == "L");
    let days =
        numbers(&others).ok_or_else(|| format!("day='{}' isn't understood", others.join(",")))?;
    let days = days.iter().map(u32::to_string).chain(last);
    Ok(days.collect::<Vec<_>>().join(","))
}

/// Days of the week by name, because names mean the same in every scheduler.
fn names(weekdays: &[u32]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut rest = weekdays;
    while let [first, ..] = rest {
        let run = rest.iter().zip(*first..).take_while(|(day, next)| *day == next).count();
        let name = |day: u32| WEEKDAYS[day as usize];
        match run {
            1 | 2 => names.extend(rest[..run].iter().map(|day| name(*day).to_owned())),
            _ => names.push(format!("{}-{}", name(*first), name(rest[run - 1]))),
        }
        rest = &rest[run..];
    }
    names.join(",")
}
