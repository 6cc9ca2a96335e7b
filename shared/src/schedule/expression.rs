//! Parses a cron expression into sets of numbers.
//!
//! The semantics are those of Vixie cron, which Unix users expect: 0 and 7 are both Sunday; if
//! neither day field begins with `*`, a day needs to match only one of them; `a/n` runs from `a` to
//! the field's maximum. The extensions are an optional seconds field, `L`, `W`, `#` and `H`.

use super::days::Days;
use super::error::{ScheduleError, shown};
use super::field::Field;
use super::item::{self, Values};
use super::part::Part;
use super::set::Set;
use super::spread::Spread;

/// The longest valid expression, in bytes.
const BYTES_MAX: usize = 256;

/// A parsed cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub seconds: Set,
    pub minutes: Set,
    pub hours: Set,
    pub days: Days,
    /// Whether it follows elapsed time when clocks change, which is so if its minute or hour
    /// begins with `*`.
    pub elapsed: bool,
}

impl Expression {
    /// Parses `text`; `spread` chooses the values of `H`.
    pub(super) fn read(text: &str, spread: Spread) -> Result<Expression, ScheduleError> {
        if text.len() > BYTES_MAX {
            let message = format!("the expression has {} bytes, more than {BYTES_MAX}", text.len());
            return Err(ScheduleError::new("cron", message).remedy("split it into several jobs"));
        }
        let parts = Part::split(text);
        if let Some(first) = parts.first().filter(|first| first.text().contains("TZ=")) {
            let error = first.error("the time zone isn't part of the expression");
            return Err(error.remedy(r#"set it in a field of its own: "timezone":"Europe/London""#));
        }
        if let [word] = parts[..]
            && word.text().starts_with('@')
        {
            return Expression::read(expand_nickname(word)?, spread);
        }
        let (second, rest) = match parts[..] {
            [minute, hour, day, month, weekday] => (None, [minute, hour, day, month, weekday]),
            [second, minute, hour, day, month, weekday] => {
                (Some(second), [minute, hour, day, month, weekday])
            }
            _ => return Err(wrong_number(text, &parts)),
        };
        let seconds = match second {
            Some(part) => values(Field::Second, part, spread)?.listed,
            None => Set::range(0, 0),
        };
        let [minute, hour, day, month, weekday] = rest;
        if let Some((_, step)) = weekday.divide('/')
            && second.is_some()
            && step.text().parse::<u32>().is_ok_and(|step| step > 7)
        {
            // Such a step is only plausible for seconds.
            let error = weekday.error("day of week has a step of more than a week");
            return Err(error.remedy("the seconds are the first of six fields"));
        }
        let star = |part: Part<'_>| part.text().starts_with('*');
        Ok(Expression {
            seconds,
            minutes: values(Field::Minute, minute, spread)?.listed,
            hours: values(Field::Hour, hour, spread)?.listed,
            days: Days {
                of_month: values(Field::DayOfMonth, day, spread)?.days_of_month(),
                months: values(Field::Month, month, spread)?.listed,
                of_week: values(Field::DayOfWeek, weekday, spread)?.days_of_week(),
                either: !star(day) && !star(weekday),
                years: None,
            },
            elapsed: star(minute) || star(hour),
        })
    }
}

/// The values of one field.
fn values(field: Field, part: Part<'_>, spread: Spread) -> Result<Values, ScheduleError> {
    let mut values = Values::default();
    let mut rest = part;
    loop {
        let (first, more) = match rest.divide(',') {
            Some((first, more)) => (first, Some(more)),
            None => (rest, None),
        };
        if first.text().is_empty() {
            let message = format!("{} has an empty entry in its list", field.name());
            return Err(part.error(message).remedy("remove the extra comma"));
        }
        item::read(field, first, spread, &mut values)?;
        match more {
            Some(more) => rest = more,
            None => return Ok(values),
        }
    }
}

/// The expression that a nickname such as `@daily` abbreviates.
fn expand_nickname(word: Part<'_>) -> Result<&'static str, ScheduleError> {
    Ok(match word.text().to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => {
            let message = "`@reboot` has no meaning here: a job belongs to no machine";
            return Err(word.error(message).remedy("give a time to run at"));
        }
        "@every" => return Err(use_every(word)),
        other => {
            const WORDS: [&str; 7] =
                ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
            let remedy = super::error::did_you_mean(other, WORDS)
                .unwrap_or_else(|| format!("write one of {}", WORDS.join(", ")));
            return Err(word.error(format!("`{}` is unknown", shown(other))).remedy(remedy));
        }
    })
}

fn use_every(word: Part<'_>) -> ScheduleError {
    word.error("`@every` isn't a cron expression").remedy(r#"write {"every":"15m"} instead"#)
}

fn wrong_number(text: &str, parts: &[Part<'_>]) -> ScheduleError {
    const FIELDS: &str = "minute, hour, day of month, month, day of week";
    let Some(first) = parts.first() else {
        let error = ScheduleError::new("cron", "the expression is empty");
        return error.remedy(format!("write five fields: {FIELDS}"));
    };
    if first.text().eq_ignore_ascii_case("@every") {
        return use_every(*first);
    }
    if let [.., seventh] = parts
        && parts.len() == 7
    {
        let error = seventh.error("a seventh field (a year) isn't supported");
        return error.remedy(r#"write it in a field of its own: "years":"2026-2028""#);
    }
    let whole = Part { expression: text, start: first.start, end: parts[parts.len() - 1].end };
    let message = match parts.len() {
        1 => "has 1 field instead of five or six".to_owned(),
        count => format!("has {count} fields instead of five or six"),
    };
    whole.error(message).remedy(format!("write an optional second, then {FIELDS}"))
}
