//! Generates random expressions together with their meaning, which is computed independently of the
//! parser; random zones; and random instants, most of them near a clock change.

use chrono::{Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use shared::clock::Time;
use shared::random::Random;

use super::tz::Tz;

/// Zones with unusual clock changes, and a few without any.
pub(crate) const ZONES: [&str; 30] = [
    "America/New_York",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Asia/Gaza",
    "Asia/Tehran",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Chatham",
    "America/Cambridge_Bay",
    "Atlantic/Azores",
    "America/Caracas",
    "Asia/Pyongyang",
    "Asia/Kathmandu",
    "Europe/Istanbul",
    "America/Metlakatla",
    "America/St_Johns",
    "America/Scoresbysund",
    "Antarctica/Casey",
    "Asia/Kolkata",
    "UTC",
];

/// Draws random cases.
pub(crate) struct Draw(Random);

impl Draw {
    pub(crate) fn seeded(seed: u64) -> Draw {
        Draw(Random::seeded(seed))
    }

    pub(crate) fn below(&self, n: u32) -> u32 {
        (self.0.unit() * f64::from(n)) as u32
    }

    pub(crate) fn between(&self, first: u32, last: u32) -> u32 {
        first + self.below(last + 1 - first)
    }

    pub(crate) fn chance(&self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    pub(crate) fn zone(&self) -> Tz {
        let all: Vec<Tz> = Tz::all().collect();
        let any = self.of(&all);
        if self.chance(20) { any } else { Tz::named(self.of(&ZONES)) }
    }

    /// An instant from 1972 to 2060. If the zone changes its clocks, three in four are within a day
    /// of a change and come with the local hour that is skipped or repeated.
    pub(crate) fn instant(&self, zone: Tz) -> (Time, Option<u32>) {
        let year = TimeDelta::days(365);
        let first = Time::from_timestamp(63_072_000, 0).unwrap();
        let mut instant = first + year * self.below(88) as i32;
        instant += TimeDelta::minutes(self.below(365 * 1440).into());
        if self.chance(25) {
            return (instant, None);
        }
        let Some(change) = next_change(zone, instant) else { return (instant, None) };
        let hour_at = |time: Time| time.with_timezone(&zone).hour();
        let hour = if self.chance(50) {
            hour_at(change)
        } else {
            (hour_at(change - TimeDelta::seconds(1)) + self.below(2)) % 24
        };
        (change + TimeDelta::minutes(i64::from(self.below(2880)) - 1440), Some(hour))
    }

    /// An expression. With `special` it may have `L`, `W`, `#` or seconds; with an `hour` it is
    /// often due in that hour.
    pub(crate) fn expression(&self, special: bool, hour: Option<u32>) -> Expression {
        let seconds = special && self.chance(15);
        let stars = if hour.is_some() { 80 } else { 60 };
        let mut days = [self.field(1, 31, 31, stars), self.field(0, 6, 7, stars)];
        let mut special_days = Vec::new();
        if special && self.chance(if hour.is_some() { 10 } else { 40 }) {
            let (text, kind) = self.special_day();
            let field = usize::from(matches!(kind, Special::Nth(..) | Special::LastWeek(_)));
            days[field] = Field { text, values: Vec::new(), star: false };
            special_days.push(kind);
        }
        let [of_month, of_week] = days;
        Expression {
            second: seconds.then(|| self.field(0, 59, 59, 20)),
            minute: self.field(0, 59, 59, 20),
            hour: match hour {
                Some(hour) if self.chance(70) => {
                    Field { text: hour.to_string(), values: vec![hour], star: false }
                }
                _ => self.field(0, 23, 23, 25),
            },
            of_month,
            month: self.field(1, 12, 12, 80),
            of_week,
            special_days,
        }
    }

    /// A field with the values `first..=last`, whose syntax allows numbers up to `top`. `star` is
    /// the percentage of fields that are a plain `*`.
    fn field(&self, first: u32, last: u32, top: u32, star: u32) -> Field {
        if self.chance(star) {
            return Field { text: "*".into(), values: (first..=last).collect(), star: true };
        }
        let entries = if self.chance(70) { 1 } else { self.between(2, 3) };
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for _ in 0..entries {
            let (text, listed): (String, Vec<u32>) = self.entry(first, last, top);
            texts.push(text);
            values
                .extend(listed.into_iter().map(|value| if last == 6 { value % 7 } else { value }));
        }
        let text = texts.join(",");
        Field { star: text.starts_with('*'), text, values }
    }

    fn entry(&self, first: u32, last: u32, top: u32) -> (String, Vec<u32>) {
        let (a, b) = (self.between(first, top), self.between(first, top));
        let (a, b) = (a.min(b), a.max(b));
        let step = self.between(1, (last - first) / 2 + 1);
        match self.below(10) {
            0..=4 => (self.name(a, last), vec![a]),
            5 => (format!("*/{step}"), (first..=top).step_by(step as usize).collect()),
            6 | 7 => (format!("{a}-{b}"), (a..=b).collect()),
            8 => (format!("{a}-{b}/{step}"), (a..=b).step_by(step as usize).collect()),
            _ => (format!("{a}/{step}"), (a..=top).step_by(step as usize).collect()),
        }
    }

    fn name(&self, value: u32, last: u32) -> String {
        const DAYS: [&str; 8] = ["SUN", "mon", "TUE", "Wed", "THU", "FRI", "sat", "SUN"];
        match last {
            6 if self.chance(50) => DAYS[value as usize].into(),
            12 if self.chance(50) => {
                let names = "JAN FEB mar APR may JUN Jul AUG SEP OCT NOV DEC";
                names.split(' ').nth(value as usize - 1).unwrap().into()
            }
            _ => value.to_string(),
        }
    }

    fn special_day(&self) -> (String, Special) {
        let (day, nth) = (self.below(7), self.between(1, 5));
        let number = self.between(1, 31);
        match self.below(6) {
            0 => ("L".into(), Special::Last(0)),
            1 => (format!("L-{}", number - 1), Special::Last(number - 1)),
            2 => ("LW".into(), Special::LastWeekday),
            3 => (format!("{number}W"), Special::Nearest(number)),
            4 => (format!("{day}#{nth}"), Special::Nth(day, nth)),
            _ => (format!("{day}L"), Special::LastWeek(day)),
        }
    }
}

/// The first second after `after` at which the zone's offset changes.
pub(crate) fn next_change(zone: Tz, after: Time) -> Option<Time> {
    let offset = |time: Time| zone.offset_from_utc_datetime(&time.naive_utc()).fix();
    let day = TimeDelta::days(1);
    let mut low = after;
    while offset(low + day) == offset(low) {
        low += day;
        if low > after + day * 1000 {
            return None;
        }
    }
    let (mut low, mut high, before) = (low.timestamp(), (low + day).timestamp(), offset(low));
    while high - low > 1 {
        let middle = (low + high) / 2;
        if offset(Time::from_timestamp(middle, 0).unwrap()) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    Time::from_timestamp(high, 0)
}

/// A field's text and meaning.
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) values: Vec<u32>,
    pub(crate) star: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Special {
    Last(u32),
    LastWeekday,
    Nearest(u32),
    Nth(u32, u32),
    LastWeek(u32),
}

pub(crate) struct Expression {
    pub(crate) second: Option<Field>,
    pub(crate) minute: Field,
    pub(crate) hour: Field,
    pub(crate) of_month: Field,
    pub(crate) month: Field,
    pub(crate) of_week: Field,
    pub(crate) special_days: Vec<Special>,
}

impl Expression {
    pub(crate) fn text(&self) -> String {
        let Expression { minute, hour, of_month, month, of_week, .. } = self;
        let five = [minute, hour, of_month, month, of_week].map(|field| field.text.as_str());
        let second = self.second.iter().map(|field| field.text.as_str());
        second.chain(five).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn follows_elapsed_time(&self) -> bool {
        self.minute.star || self.hour.star
    }

    /// Whether it matches this local time.
    pub(crate) fn matches(&self, local: NaiveDateTime) -> bool {
        let second = match &self.second {
            Some(field) => field.values.contains(&local.second()),
            None => local.second() == 0,
        };
        second
            && self.minute.values.contains(&local.minute())
            && self.hour.values.contains(&local.hour())
            && self.matches_day(local)
    }

    fn matches_day(&self, local: NaiveDateTime) -> bool {
        let date = local.date();
        let weekday = date.weekday().num_days_from_sunday();
        // The month of the date that many days later.
        let month_of = |days: i64| (date + TimeDelta::days(days)).month();
        let workday = !["Sat", "Sun"].contains(&date.weekday().to_string().as_str());
        let special = |of_month: bool| {
            self.special_days.iter().any(|special| match *special {
                Special::Last(before) if of_month => {
                    month_of(before.into()) == date.month()
                        && month_of(i64::from(before) + 1) != date.month()
                }
                Special::LastWeekday if of_month => {
                    let rest = (1..=6).map(|days| date + TimeDelta::days(days));
                    let mut rest = rest.take_while(|later| later.month() == date.month());
                    workday && rest.all(|later| later.weekday().number_from_monday() > 5)
                }
                Special::Nearest(day) if of_month => workday && nearest(date, day),
                Special::Nth(day, nth) if !of_month => {
                    let before = i64::from(nth) * 7;
                    weekday == day
                        && month_of(-before) != date.month()
                        && (nth == 1 || month_of(7 - before) == date.month())
                }
                Special::LastWeek(day) if !of_month => {
                    weekday == day && month_of(7) != date.month()
                }
                _ => false,
            })
        };
        let by_month = self.of_month.values.contains(&date.day()) || special(true);
        let by_week = self.of_week.values.contains(&weekday) || special(false);
        let day = if self.of_month.star || self.of_week.star {
            by_month && by_week
        } else {
            by_month || by_week
        };
        day && self.month.values.contains(&date.month())
    }
}

/// Whether `date`, a workday, is the workday of its month that is nearest to `day`.
fn nearest(date: chrono::NaiveDate, day: u32) -> bool {
    let Some(wanted) = date.with_day(day) else { return false };
    let workdays = (-2..=2)
        .map(|days| wanted + TimeDelta::days(days))
        .filter(|other| other.month() == date.month() && other.weekday().number_from_monday() <= 5);
    workdays.min_by_key(|other| (*other - wanted).num_days().abs()) == Some(date)
}
