//! Days of the month and days of the week that other schedulers combine otherwise than a cron expression
//! does: both must match, or either is enough.

use serde_json::{Value, json};
use shared::id::{JobId, TenantId};
use shared::schedule::{Schedule, Spread};
use uuid::Uuid;

const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// The note about a schedule of [`BothDays`].
pub(super) const NOTE: &str =
    "both the day of the month and the day of the week must match, so it becomes a recurrence rule";

/// Times on days on which both the day of the month and the day of the week match. The fields are those
/// of cron.
pub(super) struct BothDays<'a> {
    pub second: &'a str,
    pub minute: &'a str,
    pub hour: &'a str,
    pub month: &'a str,
    /// Negative numbers count from the month's end.
    pub days: Vec<i32>,
    /// 0 is Monday.
    pub weekdays: Vec<usize>,
}

impl BothDays<'_> {
    /// A recurrence rule; none if it would have too many times a day, or a field is not understood.
    pub(super) fn schedule(&self, zone: &str) -> Option<Value> {
        let months = values(&numbered(self.month), 1, 12)?;
        let mut rule = "FREQ=DAILY".to_owned();
        if months.len() < 12 {
            rule += &format!(";BYMONTH={}", listed(&months));
        }
        rule += &format!(";BYMONTHDAY={}", listed(&self.days));
        let weekdays = self.weekdays.iter().map(|day| WEEKDAYS.get(*day).copied());
        rule += &format!(";BYDAY={}", weekdays.collect::<Option<Vec<_>>>()?.join(","));
        for (part, field, last) in [
            ("BYHOUR", self.hour, 23),
            ("BYMINUTE", self.minute, 59),
            ("BYSECOND", self.second, 59),
        ] {
            rule += &format!(";{part}={}", listed(&values(field, 0, last)?));
        }
        // All parts are named, so that the start bounds the rule and has no other effect.
        let schedule = json!({"rrule": rule, "start": "2000-01-01T00:00:00", "timezone": zone});
        let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
        Schedule::read(&schedule.to_string(), spread).ok()?;
        Some(schedule)
    }
}

/// A schedule of a cron expression of which either day field is enough even if one of them begins with `*`,
/// as `*/2` does. In our own, both must match then.
pub(super) fn either(expression: &str, zone: &str) -> Value {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if let [times @ .., day, month, weekday] = &fields[..]
        && (2..=3).contains(&times.len())
        && *day != "*"
        && *weekday != "*"
        && (day.starts_with('*') || weekday.starts_with('*'))
    {
        let times = times.join(" ");
        let by_day = json!({"cron": format!("{times} {day} {month} *")});
        let by_weekday = json!({"cron": format!("{times} * {month} {weekday}")});
        return json!({"any": [by_day, by_weekday], "timezone": zone});
    }
    super::cron(&fields.join(" "), zone)
}

/// The numbers that a field names: `*`, numbers, ranges and steps. None if it has something else.
pub(super) fn values(field: &str, first: i32, last: i32) -> Option<Vec<i32>> {
    let mut values = Vec::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => {
                let from = range.parse().ok()?;
                (from, if step.is_some() { last } else { from })
            }
        };
        if from < first || to > last || from > to {
            return None;
        }
        values.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    values.sort_unstable();
    values.dedup();
    Some(values)
}

/// A month field with numbers instead of names.
fn numbered(month: &str) -> String {
    let upper = month.to_ascii_uppercase();
    MONTHS
        .iter()
        .zip(1..)
        .fold(upper, |field, (name, number)| field.replace(name, &number.to_string()))
}

fn listed(values: &[i32]) -> String {
    values.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_days_become_a_rule() {
        let both = |minute, month, days: &[i32]| {
            let (days, weekdays) = (days.to_vec(), vec![0, 4]);
            BothDays { second: "0", minute, hour: "8-10", month, days, weekdays }.schedule("UTC")
        };
        let rule = |rule: &str| {
            Some(json!({"rrule": rule, "start": "2000-01-01T00:00:00", "timezone": "UTC"}))
        };
        assert_eq!(
            both("0", "*", &[13, -1]),
            rule("FREQ=DAILY;BYMONTHDAY=13,-1;BYDAY=MO,FR;BYHOUR=8,9,10;BYMINUTE=0;BYSECOND=0")
        );
        assert_eq!(
            both("*/30", "jan-feb,12", &[1]),
            rule(
                "FREQ=DAILY;BYMONTH=1,2,12;BYMONTHDAY=1;BYDAY=MO,FR;BYHOUR=8,9,10;BYMINUTE=0,30;BYSECOND=0"
            )
        );
        // More times a day than a rule can have, no such day, and no such month.
        let often = BothDays { second: "*", minute: "*", ..plain() };
        assert_eq!(often.schedule("UTC"), None);
        assert_eq!(both("0", "2", &[30]), None);
        assert_eq!(both("0", "sometimes", &[1]), None);
    }

    fn plain() -> BothDays<'static> {
        let (days, weekdays) = (vec![1], vec![0]);
        BothDays { second: "0", minute: "0", hour: "0", month: "*", days, weekdays }
    }

    #[test]
    fn either_day_is_enough() {
        let cron = |expression: &str| json!({"cron": expression, "timezone": "UTC"});
        for same in ["0 5 * * 1", "0 5 13 * 5", "0 5 */2 * *", "@daily", "1 0 5 13 * 5"] {
            assert_eq!(either(same, "UTC"), cron(same));
        }
        assert_eq!(
            either("30 0  5 */2 3 1", "UTC"),
            json!({"any": [{"cron": "30 0 5 */2 3 *"}, {"cron": "30 0 5 * 3 1"}], "timezone": "UTC"})
        );
    }
}
