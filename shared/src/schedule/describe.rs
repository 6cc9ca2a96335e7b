//! Describes schedules in words.

use super::any::AnyRule;
use super::calendar::{CalendarRule, Step};
use super::cron::{CronRule, Fold, Gap};
use super::days::{Days, DaysOfMonth, DaysOfWeek, MonthDay, WeekDay};
use super::expression::Expression;
use super::field::{MONTH_NAMES, WEEKDAY_NAMES};
use super::rrule::{End, Frequency, NthWeekday, Parts, RecurrenceRule};
use super::rule::except::{Entry, ExceptRule, YearlyDate};
use super::set::Set;
use super::zone::Zone;
use super::{Rule, SECOND, Schedule, micros, time, zone};
use crate::clock::Time;
use chrono::{Datelike, NaiveTime, Timelike};

/// The most exceptions that are listed individually.
const ENTRIES_MAX: usize = 6;
/// The most times of day that are listed individually.
const TIMES_MAX: u32 = 6;

impl Schedule {
    /// Describes in words when it occurs: "at 02:00 on Monday to Friday, London time".
    pub fn describe(&self) -> String {
        self.describe_in(None)
    }

    /// The IANA name of its time zone; `UTC` unless it has a `timezone`.
    pub fn timezone(&self) -> &str {
        self.rule.zone().name()
    }

    /// The same for a reader who knows about the zone `known`.
    fn describe_in(&self, known: Option<&Zone>) -> String {
        let mut words = words(&self.rule, known);
        if self.delay > 0 {
            words += &format!(", each {} later (jitter)", duration(self.delay / SECOND));
        }
        let zone = self.rule.zone();
        if self.start > i64::MIN {
            words += &format!(", not before {}", local(self.start, zone));
        }
        if self.end < zone::END * SECOND - 1 {
            words += &format!(", not after {}", local(self.end, zone));
        }
        words
    }
}

fn words(rule: &Rule, known: Option<&Zone>) -> String {
    match rule {
        Rule::Cron(rule) => cron(rule, known),
        Rule::Calendar(rule) => calendar(rule, known),
        Rule::Every { period, from } => every(period / SECOND, *from),
        Rule::At { at, zone } => format!("once, at {}", local(*at, zone)),
        Rule::Any(rule) => any(rule),
        Rule::Recurrence(rule) => recurrence(rule, known),
        Rule::Except(rule) => format!("{}{}", words(&rule.rule, known), except(rule)),
    }
}

/// "every 2 weeks on Monday and Friday at 09:00, London time, from 2026-01-02".
fn recurrence(rule: &RecurrenceRule, known: Option<&Zone>) -> String {
    let Parts { frequency, interval, months, month_days, weekdays, times, positions, .. } =
        &rule.parts;
    let unit = match frequency {
        Frequency::Daily => "day",
        Frequency::Weekly => "week",
        Frequency::Monthly => "month",
        Frequency::Yearly => "year",
    };
    let mut words = number_of(*interval, unit);
    let weekdays = weekdays.iter().map(|NthWeekday { nth, weekday }| {
        let name = WEEKDAY_NAMES[weekday.num_days_from_sunday() as usize];
        if *nth == 0 { name.to_owned() } else { format!("the {} {name}", position(*nth)) }
    });
    let mut days = Vec::from_iter(weekdays);
    if !month_days.is_empty() {
        let numbers = month_days.iter().map(|day| format!("the {}", position(*day)));
        let numbers = join(&numbers.collect::<Vec<String>>());
        days = match &days[..] {
            [] => vec![format!("{numbers} day of the month")],
            days => vec![format!("{numbers} day of the month, if that is {}", join(days))],
        };
    }
    if !days.is_empty() {
        words += &format!(" on {}", join(&days));
    }
    if !months.is_empty() && months.count() < 12 {
        words +=
            &format!(" in {}", listing(*months, |month| MONTH_NAMES[month as usize - 1].into()));
    }
    let format = |time: &NaiveTime| {
        time.format(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
    };
    let mut shown: Vec<String> = times.iter().take(TIMES_MAX as usize).map(format).collect();
    if times.len() > shown.len() {
        shown.push(format!("{} more times", times.len() - shown.len()));
    }
    words += &format!(" at {}", join(&shown));
    if !positions.is_empty() {
        let numbers: Vec<String> = positions.iter().map(|number| position(*number)).collect();
        words += &format!(", only the {} of these in each {unit}", join(&numbers));
    }
    words += &format!("{}, from {}", in_zone(&rule.zone, known), rule.start().date());
    match rule.parts.end {
        End::Never => {}
        End::Count(1) => words += ", once",
        End::Count(count) => words += &format!(", {count} times"),
        End::Until(until) => words += &format!(", until {}", until.format("%Y-%m-%d %H:%M:%S")),
        End::UntilInstant(until) => {
            words += &format!(", until {}", local(micros(until), &rule.zone))
        }
    }
    words
}

/// "3rd", "last", "2nd-last".
fn position(number: i32) -> String {
    match number {
        -1 => "last".to_owned(),
        ..0 => format!("{}-last", ordinal(number.unsigned_abs())),
        _ => ordinal(number.unsigned_abs()),
    }
}

/// "every week", "every 2 weeks".
fn number_of(number: u32, unit: &str) -> String {
    match number {
        1 => format!("every {unit}"),
        _ => format!("every {number} {unit}s"),
    }
}

/// ", except on 2026-12-24 to 2027-01-02 and 1 May".
fn except(rule: &ExceptRule) -> String {
    let date = |YearlyDate { month, day }: YearlyDate| {
        format!("{day} {}", MONTH_NAMES[month as usize - 1])
    };
    let entry = |entry: &Entry| match *entry {
        Entry::Dates(first, last) if first == last => first.to_string(),
        Entry::Dates(first, last) => format!("{first} to {last}"),
        Entry::Yearly(first, last) if first == last => date(first),
        Entry::Yearly(first, last) => format!("{} to {}", date(first), date(last)),
        Entry::Time(at) => local(at, rule.rule.zone()),
    };
    let mut entries: Vec<String> = rule.entries.iter().take(ENTRIES_MAX).map(entry).collect();
    match rule.entries.len() - entries.len() {
        0 => {}
        more => entries.push(format!("{more} more")),
    }
    if entries.is_empty() { String::new() } else { format!(", except on {}", join(&entries)) }
}

/// "at 08:30 every day, and at 12:00 on Monday, London time".
fn any(rule: &AnyRule) -> String {
    let in_zone = |member: &Schedule| *member.rule.zone() == rule.zone;
    let with_zone = |member: &Schedule| member.rule.says_zone();
    // A zone that is the same for all is said once.
    let is_common = rule.members.iter().all(|member| !with_zone(member) || in_zone(member))
        && rule.members.iter().any(with_zone);
    let known = is_common.then_some(&rule.zone);
    let members = rule.members.iter().map(|member| member.describe_in(known));
    let words = members.collect::<Vec<String>>().join(", and ");
    if is_common { format!("{words}, {}", zone_name(&rule.zone)) } else { words }
}

fn cron(rule: &CronRule, known: Option<&Zone>) -> String {
    let expression = rule.wall.expression();
    let mut words = times(expression);
    let days = days(&expression.days);
    if !days.is_empty() {
        words += &format!(" {days}");
    } else if expression.hours.count() < 24 && !words.starts_with("every") {
        words += " every day";
    }
    let months = expression.days.months;
    if months.count() < 12 {
        words +=
            &format!(" in {}", listing(months, |month| MONTH_NAMES[month as usize - 1].into()));
    }
    if let Some(years) = &expression.days.years {
        let runs = years.runs().into_iter().flat_map(|(first, last)| match last - first {
            0 => vec![first.to_string()],
            1 => vec![first.to_string(), last.to_string()],
            _ => vec![format!("{first} to {last}")],
        });
        words += &format!(" in {}", join(&runs.collect::<Vec<String>>()));
    }
    words += &in_zone(&rule.zone, known);
    if !expression.elapsed {
        words += match rule.gap {
            Gap::First => "",
            Gap::Skip => ", not when clocks skip that time",
        };
        words += match rule.fold {
            // It reads like a steady period, and is one of times of day.
            Fold::First if expression.hours == Set::range(0, 23) && rule.zone.repeats_times() => {
                ", only once when clocks repeat an hour (with `*` as its minute or hour, twice)"
            }
            Fold::First => "",
            Fold::Second => ", the second time when clocks repeat it",
            Fold::Both => ", both times when clocks repeat it",
        };
    }
    words
}

fn times(expression: &Expression) -> String {
    let Expression { seconds, minutes, hours, .. } = *expression;
    let on_the_minute = seconds == Set::range(0, 0);
    if on_the_minute && minutes.count() * hours.count() <= TIMES_MAX {
        let pairs = hours.values().flat_map(|hour| minutes.values().map(move |min| (hour, min)));
        let times: Vec<String> = pairs.map(|(hour, min)| format!("{hour:02}:{min:02}")).collect();
        return format!("at {}", join(&times));
    }
    let within = if hours == Set::range(0, 23) {
        String::new()
    } else {
        format!(" of the {} {}", plural("hour", hours), listing(hours, |hour| hour.to_string()))
    };
    let minute = if minutes == Set::range(0, 59) {
        format!("every minute{within}")
    } else if let Some(step) = even_step(minutes) {
        format!("every {step} minutes{within}")
    } else {
        let within = if within.is_empty() { " of every hour".into() } else { within.clone() };
        format!("at {} {}{within}", plural("minute", minutes), numbers(minutes))
    };
    if on_the_minute {
        return minute;
    }
    let any_minute = minutes == Set::range(0, 59);
    let second = if seconds == Set::range(0, 59) {
        "every second".to_owned()
    } else if let Some(step) = even_step(seconds) {
        format!("every {step} seconds")
    } else if any_minute {
        format!("at {} {} of every minute", plural("second", seconds), numbers(seconds))
    } else {
        format!("at {} {}", plural("second", seconds), numbers(seconds))
    };
    if any_minute { format!("{second}{within}") } else { format!("{second}, {minute}") }
}

/// The step, if the set is all multiples of a divisor of 60.
fn even_step(set: Set) -> Option<u32> {
    let step = set.values().nth(1)?;
    (60 % step == 0 && set == Set::stepped(0, 59, step)).then_some(step)
}

fn days(days: &Days) -> String {
    let of_month = days_of_month(&days.of_month);
    let of_week = days_of_week(&days.of_week);
    match (of_month, of_week) {
        (None, None) => String::new(),
        // Matching either field suffices, and one of them matches every day.
        (None, Some(_)) | (Some(_), None) if days.either => String::new(),
        (Some(days), None) => format!("on {days} of the month"),
        (None, Some(days)) => format!("on {days}"),
        (Some(month), Some(week)) if days.either => {
            format!("on {month} of the month and also on {week}")
        }
        (Some(month), Some(week)) => format!("on {month} of the month, if that is {week}"),
    }
}

/// None if the field matches every day.
fn days_of_month(days: &DaysOfMonth) -> Option<String> {
    if days.listed == Set::range(1, 31) {
        return None;
    }
    let mut parts = Vec::new();
    if !days.listed.is_empty() {
        parts.push(format!("{} {}", plural("day", days.listed), numbers(days.listed)));
    }
    parts.extend(days.special.iter().map(|special| match special {
        MonthDay::Last(0) => "the last day".to_owned(),
        MonthDay::Last(1) => "the day before the last".to_owned(),
        MonthDay::Last(before) => format!("the {} day before the last", ordinal(*before)),
        MonthDay::LastWeekday => "the last weekday".to_owned(),
        MonthDay::BeforeLastWeekday(before) => match before {
            0 => "the last weekday".to_owned(),
            1 => "the weekday before the last".to_owned(),
            _ => format!("the {} weekday before the last", ordinal(*before)),
        },
        MonthDay::NthWeekday(nth) => format!("the {} weekday", ordinal(*nth)),
        MonthDay::Nearest(day) => format!("the weekday nearest to day {day}"),
        MonthDay::NearestToLast(0) => "the weekday nearest to the last day".to_owned(),
        MonthDay::NearestToLast(before) => {
            format!("the weekday nearest to the {} day before the last", ordinal(*before))
        }
    }));
    Some(join(&parts))
}

/// None if the field matches every day.
fn days_of_week(days: &DaysOfWeek) -> Option<String> {
    if days.listed == Set::range(0, 6) {
        return None;
    }
    let name = |day: u32| WEEKDAY_NAMES[day as usize].to_owned();
    let mut parts = Vec::new();
    if !days.listed.is_empty() {
        // Start weeks on Monday to keep Saturday and Sunday together.
        let shifted = days.listed.values().fold(Set::default(), |mut set, day| {
            set.add((day + 6) % 7);
            set
        });
        parts.push(listing(shifted, |day| name((day + 1) % 7)));
    }
    parts.extend(days.special.iter().map(|special| match special {
        WeekDay::Nth { day, nth } => format!("the {} {} of the month", ordinal(*nth), name(*day)),
        WeekDay::Last(day) => format!("the last {} of the month", name(*day)),
    }));
    Some(join(&parts))
}

/// "every 2 weeks on Friday at 09:00, London time, from 2026-01-02".
fn calendar(rule: &CalendarRule, known: Option<&Zone>) -> String {
    let (first, at) = rule.first();
    let dates = match rule.step {
        Step::Days(days) if days % 7 == 0 => {
            let weekday = WEEKDAY_NAMES[first.weekday().num_days_from_sunday() as usize];
            format!("{} on {weekday}", number_of(days / 7, "week"))
        }
        Step::Days(days) => number_of(days, "day"),
        Step::Months(months) if months % 12 == 0 => {
            let month = MONTH_NAMES[first.month0() as usize];
            format!("{} on {} {month}", number_of(months / 12, "year"), first.day())
        }
        Step::Months(months) => {
            format!("{} on the {}", number_of(months, "month"), ordinal(first.day()))
        }
    };
    let format = if at.second() == 0 && at.nanosecond() == 0 { "%H:%M" } else { "%H:%M:%S%.f" };
    format!("{dates} at {}{}, from {first}", at.format(format), in_zone(&rule.zone, known))
}

fn every(seconds: i64, from: i64) -> String {
    let mut words = format!("every {}", duration(seconds));
    if let Some(unit) = words.strip_prefix("every 1 ")
        && !unit.contains(' ')
    {
        words = format!("every {unit}");
    }
    if from == 0 { words } else { format!("{words}, counted from {}", instant(from)) }
}

/// "1 hour 30 minutes".
fn duration(seconds: i64) -> String {
    let units = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let parts = units.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts
        .map(|(number, unit)| format!("{number} {unit}{}", if number == 1 { "" } else { "s" }))
        .collect();
    parts.join(" ")
}

/// "2026-12-01 09:00 UTC", or "2026-12-01 10:00, Berlin time".
fn local(micros: i64, zone: &Zone) -> String {
    if zone.name() == "UTC" {
        return instant(micros);
    }
    let offset = zone.offset_at(time(micros).unwrap_or(Time::MAX));
    let local = instant(micros + offset * SECOND);
    format!("{}, {}", local.trim_end_matches(" UTC"), zone_name(zone))
}

/// "2026-12-01 09:00 UTC", with seconds and microseconds only if they are not zero.
fn instant(micros: i64) -> String {
    let at = time(micros).unwrap_or(Time::MAX);
    let format = match (at.second(), at.nanosecond()) {
        (0, 0) => "%Y-%m-%d %H:%M UTC",
        (_, 0) => "%Y-%m-%d %H:%M:%S UTC",
        _ => "%Y-%m-%d %H:%M:%S%.6f UTC",
    };
    at.format(format).to_string()
}

/// ", London time"; nothing if it is the zone that the reader knows about.
fn in_zone(zone: &Zone, known: Option<&Zone>) -> String {
    if known == Some(zone) { String::new() } else { format!(", {}", zone_name(zone)) }
}

/// "London time".
fn zone_name(zone: &Zone) -> String {
    match zone.name().rsplit_once('/') {
        Some((area, city)) if area != "Etc" => format!("{} time", city.replace('_', " ")),
        // These sound as if they had summer time.
        None if ["EST", "MST", "HST"].contains(&zone.name()) => {
            format!("{} (no summer time)", zone.name())
        }
        _ => zone.name().to_owned(),
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn plural(unit: &str, set: Set) -> String {
    format!("{unit}{}", if set.count() == 1 { "" } else { "s" })
}

fn numbers(set: Set) -> String {
    listing(set, |number| number.to_string())
}

/// The set in words; three or more consecutive values become a range, "Monday to Friday".
fn listing(set: Set, name: impl Fn(u32) -> String) -> String {
    let mut parts = Vec::new();
    let mut value = 0;
    while value < 64 {
        let end = (value..64).find(|end| !set.has(*end)).unwrap_or(64);
        match end - value {
            0..=2 => parts.extend((value..end).map(&name)),
            _ => parts.push(format!("{} to {}", name(value), name(end - 1))),
        }
        value = end + 1;
    }
    join(&parts)
}

/// "a, b and c".
fn join(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
