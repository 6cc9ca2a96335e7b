//! Calendar events of systemd: `Mon..Fri *-*-* 09:00:00`.

use super::Reading;
use super::fields::{WEEKDAYS, values, written, years};

const LANGUAGE: &str = "systemd's OnCalendar";

/// All readings of a calendar event.
pub(super) fn read(text: &str) -> Vec<Reading> {
    let text = text.strip_prefix("OnCalendar=").unwrap_or(text).trim();
    let found = match text.to_ascii_lowercase().as_str() {
        "minutely" => Some(Reading::cron(LANGUAGE, "* * * * *")),
        "hourly" => Some(Reading::cron(LANGUAGE, "0 * * * *")),
        "daily" => Some(Reading::cron(LANGUAGE, "0 0 * * *")),
        "weekly" => Some(Reading::cron(LANGUAGE, "0 0 * * MON")),
        "monthly" => Some(Reading::cron(LANGUAGE, "0 0 1 * *")),
        "quarterly" => Some(Reading::cron(LANGUAGE, "0 0 1 1,4,7,10 *")),
        "semiannually" => Some(Reading::cron(LANGUAGE, "0 0 1 1,7 *")),
        "yearly" | "annually" => Some(Reading::cron(LANGUAGE, "0 0 1 1 *")),
        _ => event(text),
    };
    found.into_iter().collect()
}

/// `[weekdays] [date] [time]`, of which at least the date or the time is there.
fn event(text: &str) -> Option<Reading> {
    let mut parts: Vec<&str> = text.split_whitespace().collect();
    let named = parts.first().is_some_and(|part| part.starts_with(|c: char| c.is_alphabetic()));
    let weekdays = if named {
        let text = parts.remove(0).trim_end_matches(',');
        Some(values(text, (0, 6), &WEEKDAYS, "..")?)
    } else {
        None
    };
    let (date, time) = match parts[..] {
        [date, time] if date.contains('-') && time.contains(':') => (date, time),
        [date] if date.contains('-') && !date.contains(':') => (date, "00:00:00"),
        [time] if time.contains(':') => ("*-*-*", time),
        [] if weekdays.is_some() => ("*-*-*", "00:00:00"),
        _ => return None,
    };
    let (day, month, year) = of_date(date)?;
    let times: Vec<&str> = time.split(':').collect();
    let (hour, minute, second) = match times[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let plain = |text: &str, bounds| Some(written(&values(text, bounds, &[], "..")?, bounds, &[]));
    let (day, weekday) = days(&day, weekdays.as_deref())?;
    let mut fields = vec![plain(minute, (0, 59))?, plain(hour, (0, 23))?, day, month, weekday];
    let second = plain(second, (0, 59))?;
    if second != "0" {
        fields.insert(0, second);
    }
    let reading = Reading::cron(LANGUAGE, fields.join(" "));
    Some(reading.in_years(&year))
}

/// A day field, a month field and the years of `2026-01..06-*`, `*-*~03` or `01-15`.
fn of_date(text: &str) -> Option<(String, String, String)> {
    let (rest, from_end) = match text.split_once('~') {
        Some((rest, days)) => (rest, Some(days)),
        None => (text, None),
    };
    let mut parts: Vec<&str> = rest.split('-').collect();
    let day = match from_end {
        // `~1` is the last day.
        Some(days) => match days.parse::<u32>().ok()?.checked_sub(1)? {
            0 => "L".to_owned(),
            before => format!("L-{before}"),
        },
        None => written(&values(parts.pop()?, (1, 31), &[], "..")?, (1, 31), &[]),
    };
    let month = written(&values(parts.pop()?, (1, 12), &[], "..")?, (1, 12), &[]);
    let year = match parts[..] {
        [] => "*".to_owned(),
        [year] => years(year, "..")?,
        _ => return None,
    };
    Some((day, month, year))
}

/// The two day fields. In systemd both must match. In cron that is so only if one of them begins with
/// `*`, so a week of the month becomes the position of its weekday.
fn days(day: &str, weekdays: Option<&[u32]>) -> Option<(String, String)> {
    let Some(weekdays) = weekdays else { return Some((day.to_owned(), "*".to_owned())) };
    let listed = written(weekdays, (0, 6), &WEEKDAYS);
    let week = ["1-7", "8-14", "15-21", "22-28"].iter().position(|week| *week == day);
    match week {
        _ if day.starts_with('*') || listed == "*" => Some((day.to_owned(), listed)),
        Some(week) => {
            let nth = |weekday: &u32| format!("{}#{}", WEEKDAYS[*weekday as usize], week + 1);
            let each: Vec<String> = weekdays.iter().map(nth).collect();
            Some(("*".to_owned(), each.join(",")))
        }
        None => None,
    }
}
