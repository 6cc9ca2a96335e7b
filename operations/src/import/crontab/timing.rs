//! The time of a crontab's line as a schedule.

use serde_json::{Value, json};
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};
use uuid::Uuid;

use super::super::{cron, days};
use super::settings::Settings;
use crate::format::counted;

/// Names for times that our own cron expressions lack.
const NAMED: [(&str, &str); 10] = [
    ("@every_minute", "* * * * *"),
    ("@minutely", "* * * * *"),
    ("@every_second", "* * * * * *"),
    ("@quarterly", "0 0 1 1,4,7,10 *"),
    ("@semi-annually", "0 0 1 1,7 *"),
    ("@semiannually", "0 0 1 1,7 *"),
    ("@bi-annually", "0 0 1 1,7 *"),
    ("@biannually", "0 0 1 1,7 *"),
    ("@anually", "@annually"),
    ("@weekday", "0 0 * * 1-5"),
];
/// anacron's names of periods, in days; those of calendars are cron expressions.
const PERIODS: [(&str, &str); 2] = [("@daily", "1"), ("@weekly", "7")];

/// The time of a line.
pub(super) enum Timing<'a> {
    /// Fields of cron, or `@daily`, with the years if there is a field for them.
    Cron { expression: String, years: Option<&'a str> },
    /// A duration.
    Every(String),
    /// A line of an anacrontab.
    Anacron { period: &'a str, delay: u32, id: &'a str },
}

impl Timing<'_> {
    pub(super) fn is_anacron(&self) -> bool {
        matches!(self, Timing::Anacron { .. })
    }
}

/// The schedule of a line.
pub(super) fn schedule(
    timing: &Timing<'_>,
    zone: &str,
    settings: &Settings<'_>,
    notes: &mut Vec<String>,
) -> Result<Value, String> {
    let schedule = match timing {
        Timing::Cron { expression, years } => {
            let expression = spread(named(expression), notes);
            let schedule = match settings.takes_either_day() {
                true => days::either(&expression, zone),
                false => cron(&expression, zone),
            };
            in_years(schedule, *years)?
        }
        Timing::Every(duration) => {
            notes.push("counted from 1970, not from when cron started".to_owned());
            json!({"every": duration})
        }
        Timing::Anacron { period, delay, .. } => anacron(period, *delay, zone, settings, notes)?,
    };
    Ok(delayed(schedule, settings, notes))
}

fn named(expression: &str) -> &str {
    let found = NAMED.iter().find(|(name, _)| *name == expression);
    found.map_or(expression, |(_, expression)| expression)
}

/// Random values, `0~30`, as ours: `H(0-30)`.
fn spread(timing: &str, notes: &mut Vec<String>) -> String {
    if !timing.contains('~') {
        return timing.to_owned();
    }
    notes.push("`~`, a value that cron draws at random, becomes `H`, one that stays".to_owned());
    let item = |item: &str| match item.split_once('~') {
        Some(("", "")) => "H".to_owned(),
        Some((first, last)) => format!("H({first}-{last})"),
        None => item.to_owned(),
    };
    let field = |field: &str| field.split(',').map(item).collect::<Vec<_>>().join(",");
    timing.split(' ').map(field).collect::<Vec<_>>().join(" ")
}

/// The schedule within a year, or from one to another.
fn in_years(mut schedule: Value, years: Option<&str>) -> Result<Value, String> {
    let Some(years) = years.filter(|years| !matches!(*years, "*" | "?")) else {
        return Ok(schedule);
    };
    let (first, last) = years.split_once('-').unwrap_or((years, years));
    let is_year = |text: &str| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_year(first) || !is_year(last) {
        return Err(format!("its years `{years}` are neither one year nor from one to another"));
    }
    schedule["start"] = json!(format!("{first}-01-01T00:00:00"));
    schedule["end"] = json!(format!("{last}-12-31T23:59:59"));
    Ok(schedule)
}

/// anacron runs a command once in each period, `delay` minutes after it starts.
fn anacron(
    period: &str,
    delay: u32,
    zone: &str,
    settings: &Settings<'_>,
    notes: &mut Vec<String>,
) -> Result<Value, String> {
    notes.push(
        "anacron runs it once in each period, whenever the machine is up: here it has a time, and is made up for if \
         that was missed"
            .to_owned(),
    );
    let minutes = settings.first_hour() * 60 + delay;
    let (hour, minute) = (minutes / 60, minutes % 60);
    if hour > 23 {
        let delay = counted(delay as usize, "minute");
        return Err(format!("its delay of {delay} goes beyond the day"));
    }
    let days = PERIODS.iter().find(|(name, _)| *name == period).map_or(period, |(_, days)| days);
    Ok(match days {
        "1" => cron(&format!("{minute} {hour} * * *"), zone),
        "@monthly" => cron(&format!("{minute} {hour} 1 * *"), zone),
        "@yearly" | "@annually" => cron(&format!("{minute} {hour} 1 1 *"), zone),
        days if days.parse().is_ok_and(|days: u32| (2..=3650).contains(&days)) => {
            // 1970-01-04 was a Sunday.
            let from = format!("1970-01-04T{hour:02}:{minute:02}:00");
            json!({"every": format!("{days}d"), "timezone": zone, "from": from})
        }
        other => return Err(format!("its period `{other}` is not a number of days")),
    })
}

/// The schedule with cron's random delay as its jitter.
fn delayed(schedule: Value, settings: &Settings<'_>, notes: &mut Vec<String>) -> Value {
    let Some(minutes) = settings.random_delay() else { return schedule };
    let mut delayed = schedule.clone();
    delayed["jitter"] = json!(format!("{minutes}m"));
    let minutes = counted(minutes as usize, "minute");
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    if Schedule::read(&delayed.to_string(), spread).is_ok() {
        notes.push(format!("RANDOM_DELAY becomes `jitter`, one fixed delay below {minutes}"));
        return delayed;
    }
    if Schedule::read(&schedule.to_string(), spread).is_ok() {
        let reason = "since it is not shorter than the time between two starts";
        notes.push(format!("RANDOM_DELAY of {minutes} is left out, {reason}"));
    }
    schedule
}
