//! A crontab of Celery. All of its fields must match, and days of the week begin with Sunday, as 0.

use serde_json::{Map, Value, json};

use super::super::cron;
use super::super::days::{self, BothDays};

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const WEEKS: [(u32, u32); 4] = [(1, 7), (8, 14), (15, 21), (22, 28)];

pub(super) fn schedule(
    fields: &Map<String, Value>,
    zone: &str,
    notes: &mut Vec<String>,
) -> Result<Value, String> {
    let field = |name: &str| -> Result<String, String> {
        match fields.get(name) {
            None | Some(Value::Null) => Ok("*".to_owned()),
            Some(Value::String(text)) => plain(text),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(_) => Err(format!("{name} is neither a text nor a number")),
        }
    };
    let (minute, hour, month) = (field("minute")?, field("hour")?, field("month_of_year")?);
    let (day, weekday) = (field("day_of_month")?, weekdays(&field("day_of_week")?)?);
    let month = month.to_uppercase();
    if day == "*" || weekday == "*" || day.starts_with('*') {
        return Ok(cron(&format!("{minute} {hour} {day} {month} {weekday}"), zone));
    }
    let bounds = day
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let week = WEEKS.iter().position(|week| bounds == Some(*week));
    let Some(week) = week else {
        let schedule =
            both(&minute, &hour, &month, &day, &weekday).and_then(|both| both.schedule(zone));
        let schedule = schedule.ok_or_else(|| {
            format!(
                "day_of_month='{day}' and day_of_week='{weekday}' must both match there, and either is enough in a \
                 cron expression; keep one of them, and check the other in the handler"
            )
        })?;
        notes.push(days::NOTE.to_owned());
        return Ok(schedule);
    };
    notes.push("a whole week of the month and days of the week become positions".to_owned());
    let nth: Vec<String> = weekday.split(',').map(|day| format!("{day}#{}", week + 1)).collect();
    Ok(cron(&format!("{minute} {hour} * {month} {}", nth.join(",")), zone))
}

fn both<'a>(
    minute: &'a str,
    hour: &'a str,
    month: &'a str,
    day: &str,
    weekday: &str,
) -> Option<BothDays<'a>> {
    let days = days::values(day, 1, 31)?;
    // From Sunday to Monday as the first day.
    let weekdays = weekday.split(',').map(|name| {
        let from_sunday = WEEKDAYS.iter().position(|known| *known == name)?;
        Some((from_sunday + 6) % 7)
    });
    let weekdays = weekdays.collect::<Option<Vec<usize>>>()?;
    Some(BothDays { second: "0", minute, hour, month, days, weekdays })
}

/// A field without spaces, and without the brackets of Python's sets.
fn plain(text: &str) -> Result<String, String> {
    let text: String =
        text.chars().filter(|char| !char.is_whitespace() && !"{}[]()'".contains(*char)).collect();
    let is_known = |char: char| char.is_ascii_alphanumeric() || "*/,-".contains(char);
    match text.chars().all(is_known) && !text.is_empty() {
        true => Ok(if text == "*/1" { "*".to_owned() } else { text }),
        false => Err(format!("the field `{text}` is not understood")),
    }
}

/// Days of the week by name, one by one.
fn weekdays(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok("*".to_owned());
    }
    let unknown = || format!("day_of_week='{text}' is not understood");
    let number = |name: &str| -> Option<usize> {
        let by_name = WEEKDAYS
            .iter()
            .position(|day| name.get(..3).is_some_and(|name| day.eq_ignore_ascii_case(name)));
        by_name.or_else(|| name.parse().ok().filter(|day| *day <= 7).map(|day: usize| day % 7))
    };
    let mut days = [false; 7];
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(unknown)?)
            }
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => {
                (number(first).ok_or_else(unknown)?, number(last).ok_or_else(unknown)?)
            }
            None => {
                let first = number(range).ok_or_else(unknown)?;
                (first, first)
            }
        };
        // `fri-mon` goes over the end of the week.
        let last = if last < first { last + 7 } else { last };
        (first..=last).step_by(step).for_each(|day| days[day % 7] = true);
    }
    if days.iter().all(|is_on| *is_on) {
        return Ok("*".to_owned());
    }
    let named = WEEKDAYS.iter().zip(days).filter(|(_, is_on)| *is_on).map(|(name, _)| *name);
    Ok(named.collect::<Vec<_>>().join(","))
}

/// The fields of a row of django-celery-beat.
pub(super) fn of_row(row: &Map<String, Value>) -> Value {
    let mut fields = row.clone();
    fields.insert("type".to_owned(), json!("crontab"));
    Value::Object(fields)
}
