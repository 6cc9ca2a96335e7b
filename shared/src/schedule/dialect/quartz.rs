//! Cron expressions of other programs: Quartz, Spring, EventBridge, Go's, croniter's.

use super::Reading;
use super::fields::{MONTHS, WEEKDAYS, number, values, written, years};

const SIXTY: (u32, u32) = (0, 59);
const HOURS: (u32, u32) = (0, 23);
const DAYS: (u32, u32) = (1, 31);
const MONTH_NUMBERS: (u32, u32) = (1, 12);

const EVENT_BRIDGE: &str = "EventBridge's cron, in which 1 is Sunday";
const QUARTZ: &str = "Quartz, in which 1 is Sunday";
const SPRING: &str = "Spring, in which 1 is Monday";
/// Every text of six fields can be in this language, so it is proposed only where the last field can
/// be nothing but seconds.
pub(super) const SECONDS_LAST: &str = "croniter, with the seconds last";
const GO: &str = "cron of Go and Kubernetes, in which 1 is Monday";

/// The fields of an expression, without seconds and years if it has none.
struct Written<'a> {
    second: &'a str,
    rest: [&'a str; 5],
    year: &'a str,
}

/// All readings of a text of five to seven fields.
pub(super) fn read(text: &str) -> Vec<Reading> {
    if let Some(inside) = text.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')) {
        let parts: Vec<&str> = inside.split_whitespace().collect();
        return of_event_bridge(&parts).into_iter().collect();
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    let asks = |places: [usize; 2]| places.iter().any(|at| parts.get(*at) == Some(&"?"));
    let found = match parts[..] {
        [.., dow] if parts.len() == 5 && asks([2, 4]) => {
            let written = Written { second: "0", rest: five(&parts), year: "*" };
            let without_seconds = "Quartz without its seconds, in which 1 is Sunday";
            let numbered = dow.contains(|char: char| char.is_ascii_digit());
            let quartz = translated(without_seconds, &written, 1).filter(|_| numbered);
            vec![translated(GO, &written, 0), quartz]
        }
        [_, _, _, _, _, _] if asks([3, 5]) => {
            let written = Written { second: parts[0], rest: five(&parts[1..]), year: "*" };
            vec![translated(QUARTZ, &written, 1), translated(SPRING, &written, 0)]
        }
        [_, _, _, _, _, _] if asks([2, 4]) => vec![of_event_bridge(&parts)],
        [_, _, _, _, _, _, year] => {
            let written = Written { second: parts[0], rest: five(&parts[1..]), year };
            if asks([3, 5]) {
                vec![translated(QUARTZ, &written, 1)]
            } else {
                vec![translated("cron with seconds and years (supercronic, cronexpr)", &written, 0)]
            }
        }
        [minute, hour, dom, month, dow, second] => {
            let text = [second, minute, hour, dom, month, dow].join(" ");
            vec![Some(Reading::cron(SECONDS_LAST, text))]
        }
        [minute, hour, "$", month, dow] => {
            let text = [minute, hour, "L", month, dow].join(" ");
            vec![Some(Reading::cron("pg_cron, with `$` for the last day of the month", text))]
        }
        _ => text
            .strip_prefix('-')
            .filter(|rest| rest.starts_with('*'))
            .map(|rest| {
                vec![Some(Reading::cron("cronie, in which a `-` in front turns logging off", rest))]
            })
            .unwrap_or_default(),
    };
    found.into_iter().flatten().collect()
}

/// `minute hour day month weekday year`.
fn of_event_bridge(parts: &[&str]) -> Option<Reading> {
    let (rest, year) = match parts {
        [rest @ .., year] if rest.len() == 5 => (five(rest), *year),
        _ => return None,
    };
    translated(EVENT_BRIDGE, &Written { second: "0", rest, year }, 1)
}

fn five<'a>(parts: &[&'a str]) -> [&'a str; 5] {
    let mut five = ["*"; 5];
    five.iter_mut().zip(parts).for_each(|(five, part)| *five = part);
    five
}

/// The expression with weekdays by name. `sunday` is the number that this language gives to Sunday.
fn translated(language: &'static str, written: &Written<'_>, sunday: u32) -> Option<Reading> {
    let [minute, hour, dom, month, dow] = written.rest;
    let any = |text| matches!(text, "?" | "*");
    let quartz = sunday == 1;
    if quartz && !any(dom) && !any(dow) {
        // Quartz and EventBridge refuse that themselves.
        return None;
    }
    let second = plain(written.second, SIXTY, &[])?;
    let mut fields = vec![
        plain(minute, SIXTY, &[])?,
        plain(hour, HOURS, &[])?,
        day_of_month(dom)?,
        plain(month, MONTH_NUMBERS, &MONTHS)?,
        day_of_week(dow, sunday)?,
    ];
    if second != "0" {
        fields.insert(0, second);
    }
    let reading = Reading::cron(language, fields.join(" "));
    Some(reading.in_years(&years(written.year, "-")?))
}

fn plain(text: &str, bounds: (u32, u32), names: &[&str]) -> Option<String> {
    let names_out: &[&str] =
        if text.contains(|char: char| char.is_ascii_alphabetic()) { names } else { &[] };
    Some(written(&values(text, bounds, names, "-")?, bounds, names_out))
}

fn day_of_month(text: &str) -> Option<String> {
    if text == "?" {
        return Some("*".to_owned());
    }
    let items = text.split(',').map(|item| {
        let special = item.contains(['L', 'W', 'l', 'w']);
        if special { Some(item.to_ascii_uppercase()) } else { plain(item, DAYS, &[]) }
    });
    Some(items.collect::<Option<Vec<String>>>()?.join(","))
}

fn day_of_week(text: &str, sunday: u32) -> Option<String> {
    if text == "?" {
        return Some("*".to_owned());
    }
    let (first, last) = (sunday, sunday + 6);
    let day = |text: &str| {
        let number = number(text, first, &WEEKDAYS)?;
        // Where Sunday is 0, it is 7, too.
        let number = if sunday == 0 && number == 7 { 0 } else { number };
        (first..=last).contains(&number).then(|| number - first)
    };
    let (mut special, mut listed) = (Vec::new(), Vec::new());
    for item in text.split(',') {
        let upper = item.to_ascii_uppercase();
        if upper == "L" {
            listed.push(6);
        } else if let Some((which, nth)) = upper.split_once('#') {
            special.push(format!("{}#{nth}", WEEKDAYS[day(which)? as usize]));
        } else if let Some(which) = upper.strip_suffix('L').filter(|_| day(&upper).is_none()) {
            special.push(format!("{}L", day(which)?));
        } else if sunday == 0 && upper.contains('7') {
            // `5-7` there ends on Sunday.
            let values = values(&upper, (0, 7), &WEEKDAYS, "-")?;
            listed.extend(values.into_iter().map(|value| value % 7));
        } else {
            let values = values(&upper, (first, last), &WEEKDAYS, "-")?;
            listed.extend(values.into_iter().map(|value| value - first));
        }
    }
    listed.sort_unstable();
    listed.dedup();
    if !listed.is_empty() {
        special.insert(0, written(&listed, (0, 6), &WEEKDAYS));
    }
    Some(special.join(","))
}
