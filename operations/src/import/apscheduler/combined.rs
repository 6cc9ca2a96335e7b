//! Triggers that consist of others, and those that count dates.

use serde_json::{Map, Value, json};

use super::{Item, local_time};

/// How deep triggers may be nested.
const DEPTH_MAX: usize = 5;

impl Item<'_> {
    /// An `or` of triggers: all of their times.
    pub(super) fn either(&mut self) -> Result<Value, String> {
        if self.depth >= DEPTH_MAX {
            return Err("its triggers are nested too deeply".to_owned());
        }
        let triggers = self.fields.get("triggers").and_then(Value::as_array);
        let triggers = triggers.ok_or("a trigger `or` needs a list `triggers`")?.clone();
        let mut any: Vec<Value> = Vec::new();
        for (index, trigger) in triggers.iter().enumerate() {
            let trigger = trigger.as_object().ok_or("each of its `triggers` is an object")?;
            let schedule = self.part(trigger);
            let schedule = schedule.map_err(|why| format!("trigger {}: {why}", index + 1))?;
            match schedule.get("any").and_then(Value::as_array) {
                Some(parts) => any.extend(parts.iter().cloned()),
                None => any.push(schedule),
            }
        }
        any.dedup();
        let mut schedule = match any.len() {
            0 => return Err("its list `triggers` is empty".to_owned()),
            1 => any.swap_remove(0),
            _ => json!({ "any": any }),
        };
        self.add_jitter(&mut schedule)?;
        Ok(schedule)
    }

    /// The schedule of one of the triggers.
    fn part(&mut self, fields: &Map<String, Value>) -> Result<Value, String> {
        let own = fields.get("timezone").and_then(Value::as_str);
        let timezone = own.unwrap_or(&self.timezone).to_owned();
        let notes = std::mem::take(&mut self.notes);
        let mut part = Item { fields, timezone, notes, depth: self.depth + 1 };
        let schedule = part.schedule();
        self.notes = part.notes;
        schedule
    }

    /// A calendar interval: a number of months or days, at a time of day.
    pub(super) fn calendar_interval(&mut self) -> Result<Value, String> {
        let count = |field: &str| Ok::<_, String>(self.whole(field)?.unwrap_or_default());
        let months = count("years")?.saturating_mul(12).saturating_add(count("months")?);
        let days = count("weeks")?.saturating_mul(7).saturating_add(count("days")?);
        let every = match (months, days) {
            (0, 0) => return Err("a calendar interval needs a length".to_owned()),
            (0, days) if days % 7 == 0 => format!("{}w", days / 7),
            (0, days) => format!("{days}d"),
            (months, 0) => format!("{months} months"),
            _ => {
                return Err("an interval of both months and days has no counterpart; \
                            use one of them"
                    .to_owned());
            }
        };
        let start = self.text("start_date")?;
        let start = start.ok_or("a calendar interval needs a start_date")?;
        let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
        let (hour, minute, second) = (count("hour")?, count("minute")?, count("second")?);
        let from = format!("{}T{hour:02}:{minute:02}:{second:02}", day(&start));
        let mut schedule = json!({"every": every, "timezone": self.timezone, "from": from});
        if let Some(end) = self.text("end_date")? {
            let last = local_time::read(&format!("{} 23:59:59", day(&end)), &self.timezone)?;
            schedule["end"] = json!(local_time::written(last));
        }
        self.add_jitter(&mut schedule)?;
        Ok(schedule)
    }
}
