//! Phrases of App Engine and Google Cloud: `every 5 minutes`, `1st monday of month 09:00`.

use super::Reading;
use super::fields::{MONTHS, WEEKDAYS, number, written};
use super::periods::{duration, worded};

const LANGUAGE: &str = "a phrase of Google Cloud";

/// All readings of a phrase.
pub(super) fn read(text: &str) -> Vec<Reading> {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let found = match words[..] {
        ["every", count, unit] if count.parse::<u32>().is_ok() => {
            worded(&format!("{count} {unit}")).and_then(duration).map(|every| {
                Reading::new(LANGUAGE, serde_json::json!({"every": every}))
                    .noting("counted from 1970; `from` sets another beginning")
            })
        }
        ["every", unit @ ("minute" | "hour")] => {
            let expression = if unit == "minute" { "* * * * *" } else { "0 * * * *" };
            Some(Reading::cron(LANGUAGE, expression))
        }
        ["every", count, unit, "from", from, "to", to] => within(count, unit, from, to),
        ["every", days, time] => of_days(days, time),
        [ref days @ .., "of", "month", time] => of_month(days, "*", time),
        [ref days @ .., "of", months, time] => {
            let numbers = months.split(',').map(|month| named(month, 1, &MONTHS));
            let numbers: Option<Vec<u32>> = numbers.collect();
            numbers.and_then(|numbers| of_month(days, &sorted(numbers, (1, 12), &MONTHS), time))
        }
        _ => None,
    };
    found.into_iter().collect()
}

/// `every day 09:00`, `every mon,wed 17:30`.
fn of_days(days: &str, time: &str) -> Option<Reading> {
    let days = if days == "day" {
        "*".to_owned()
    } else {
        let numbers = days.split(',').map(|day| named(day, 0, &WEEKDAYS));
        sorted(numbers.collect::<Option<Vec<u32>>>()?, (0, 6), &WEEKDAYS)
    };
    let (hour, minute) = clock(time)?;
    Some(Reading::cron(LANGUAGE, format!("{minute} {hour} * * {days}")))
}

/// `1st,third monday`, or `1,15`, of months.
fn of_month(days: &[&str], months: &str, time: &str) -> Option<Reading> {
    let (hour, minute) = clock(time)?;
    let days = days.strip_prefix(&["every"]).unwrap_or(days);
    let expression = match days {
        [days] => {
            let day = |text: &str| text.parse::<u32>().ok().filter(|day| (1..=31).contains(day));
            let numbers = days.split(',').map(day);
            let numbers = numbers.collect::<Option<Vec<u32>>>()?;
            format!("{minute} {hour} {} {months} *", sorted(numbers, (1, 31), &[]))
        }
        [ordinals, weekdays] => {
            let ordinals: Option<Vec<u32>> = ordinals.split(',').map(ordinal).collect();
            let weekdays: Option<Vec<u32>> =
                weekdays.split(',').map(|day| named(day, 0, &WEEKDAYS)).collect();
            let (ordinals, weekdays) = (ordinals?, weekdays?);
            let each = weekdays.iter().flat_map(|day| {
                ordinals.iter().map(move |nth| format!("{}#{nth}", WEEKDAYS[*day as usize]))
            });
            format!("{minute} {hour} * {months} {}", each.collect::<Vec<_>>().join(","))
        }
        _ => return None,
    };
    Some(Reading::cron(LANGUAGE, expression))
}

/// `every 5 minutes from 10:00 to 14:00`, where full hours and divisors make it a cron expression.
fn within(count: &str, unit: &str, from: &str, to: &str) -> Option<Reading> {
    let seconds = worded(&format!("{count} {unit}")).filter(|seconds| *seconds > 0)?;
    let ((from, 0), (to, last)) = (clock(from)?, clock(to)?) else { return None };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let expression = if seconds < 3600 && seconds % 60 == 0 && 60 % minutes == 0 {
        // The end is included: of its hour, the full hour only, unless it is the last such minute.
        if i64::from(last) + minutes == 60 && to >= from {
            format!("*/{minutes} {from}-{to} * * *")
        } else {
            return None;
        }
    } else if seconds % 3600 == 0 && last == 0 && to > from {
        format!("0 {from}-{to}/{hours} * * *")
    } else {
        return None;
    };
    Some(Reading::cron(LANGUAGE, expression))
}

/// The number of a name; these phrases have no numbers for days and months.
fn named(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    number(text, first, names).filter(|_| text.starts_with(|char: char| char.is_ascii_alphabetic()))
}

fn sorted(mut numbers: Vec<u32>, bounds: (u32, u32), names: &[&str]) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    written(&numbers, bounds, names)
}

fn ordinal(text: &str) -> Option<u32> {
    let ordinals: [&[&str]; 5] = [
        &["1st", "first"],
        &["2nd", "second"],
        &["3rd", "third"],
        &["4th", "fourth"],
        &["5th", "fifth"],
    ];
    let at = ordinals.iter().position(|names| names.contains(&text))?;
    Some(at as u32 + 1)
}

/// `09:30` as hour and minute.
fn clock(text: &str) -> Option<(u32, u32)> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}
