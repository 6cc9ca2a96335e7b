//! Translates the schedules of Celery beat: what `exporter.py` writes of `beat_schedule`, or
//! django-celery-beat's tables as `manage.py dumpdata django_celery_beat` writes them.

mod crontab;
mod dump;

use serde_json::{Map, Value, json};
use shared::job::MisfirePolicy;
use shared::store::NewJob;

use super::{Budget, Entry, Import, Text, job};
use crate::failure::Failure;

/// The longest grace that a job may have, in seconds.
const GRACE_MAX: i64 = 31_536_000;

/// Translates Celery beat's schedules.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// The application's time zone, for schedules without one; none: UTC.
    pub timezone: Option<String>,
    /// The type of all jobs; none: each schedule's task.
    pub job_type: Option<String>,
}

/// One schedule.
struct Item {
    name: String,
    /// `task`, `args`, `kwargs`, `options`, `schedule`; what only the tables have: `is_enabled`, `start`, `end`.
    fields: Map<String, Value>,
    /// Why there is no schedule, if there is none.
    error: Option<String>,
}

impl Reader {
    /// Translates `text`.
    ///
    /// # Errors
    /// If it is neither of the two.
    pub fn read(&self, text: &Text) -> Result<Import, Failure> {
        let document: Value = serde_json::from_str(&text.text).map_err(|error| {
            let remedy = "`polychron schedule exporter` and `manage.py dumpdata django_celery_beat` write it";
            let fault = match text.is_blank() {
                true => "is empty".to_owned(),
                false => format!("isn't JSON ({error})"),
            };
            Failure::Usage(format!("FILE {fault}; {remedy}"))
        })?;
        let (items, zone) = match &document {
            Value::Array(rows) => (dump::items(rows), None),
            Value::Object(_) => {
                let celery = &document["celery"];
                let entries = celery["beat_schedule"].as_array();
                let entries = entries.ok_or_else(|| {
                    Failure::Usage("FILE has no `celery.beat_schedule`; `polychron schedule exporter` writes it".to_owned())
                })?;
                (entries.iter().map(exported).collect(), celery["timezone"].as_str())
            }
            _ => return Err(Failure::Usage("FILE has neither an object nor a list".to_owned())),
        };
        let zone = self.timezone.as_deref().or(zone);
        let mut remarks = text.remarks.clone();
        remarks.push("a consumer must bring a handler for each type; changes of clocks follow docs/schedules.md".to_owned());
        if zone.is_none() {
            remarks.push("the file names no time zone: UTC is assumed where a schedule names none (--timezone)".to_owned());
        }
        if items.is_empty() {
            remarks.push("there are no schedules".to_owned());
        }
        let mut budget = Budget::default();
        let entries = items.into_iter().map(|item| {
            let mut notes = Vec::new();
            let job = budget
                .take_entry()
                .and_then(|()| self.job(&item, zone.unwrap_or("UTC"), &mut notes));
            let source = Value::Object(item.fields.clone()).to_string();
            Entry { place: item.name, source, notes, is_named: true, job }
        });
        let entries = entries.collect();
        Ok(Import::new(entries, remarks))
    }

    fn job(&self, item: &Item, zone: &str, notes: &mut Vec<String>) -> Result<NewJob, String> {
        let Item { name, fields, error } = item;
        if let Some(error) = error {
            return Err(error.clone());
        }
        let noted = fields.get("notes").and_then(Value::as_array).into_iter().flatten();
        notes.extend(noted.filter_map(Value::as_str).map(str::to_owned));
        let task = fields.get("task").and_then(Value::as_str).unwrap_or_default();
        if task.starts_with("celery.") {
            return Err(format!("{task} is Celery's own housekeeping, which has no counterpart"));
        }
        let job_type = self.job_type.as_deref().unwrap_or(task);
        let schedule =
            fields.get("schedule").and_then(Value::as_object).ok_or("it has no schedule")?;
        let mut job = job(name, job_type, self.schedule(schedule, zone, notes)?);
        for bound in ["start", "end"] {
            if let Some(time) = fields.get(bound).and_then(Value::as_str) {
                job.schedule[bound] = json!(time);
            }
        }
        let payload = ["args", "kwargs"].into_iter().filter_map(|field| {
            let value = fields.get(field)?;
            let is_empty = value.is_null() || *value == json!([]) || *value == json!({});
            (!is_empty).then(|| (field.to_owned(), value.clone()))
        });
        job.payload = Value::Object(payload.collect());
        if fields.get("is_enabled") == Some(&Value::Bool(false)) {
            job.is_enabled = false;
            notes.push("it is disabled, and becomes paused".to_owned());
        }
        options(&mut job, fields.get("options"), notes);
        Ok(job)
    }

    fn schedule(
        &self,
        schedule: &Map<String, Value>,
        zone: &str,
        notes: &mut Vec<String>,
    ) -> Result<Value, String> {
        match schedule.get("type").and_then(Value::as_str).unwrap_or_default() {
            "crontab" => {
                let own = schedule.get("timezone").and_then(Value::as_str);
                crontab::schedule(schedule, own.unwrap_or(zone), notes)
            }
            "interval" => interval(schedule, notes),
            "clocked" => {
                let at = schedule.get("at").and_then(Value::as_str).ok_or("it has no time")?;
                Ok(json!({ "at": at }))
            }
            "solar" => Err("a solar schedule follows the sun, which has no counterpart".to_owned()),
            other => Err(format!("a schedule `{other}` has no counterpart")),
        }
    }
}

/// One entry of what `exporter.py` writes.
fn exported(entry: &Value) -> Item {
    let fields = entry.as_object().cloned().unwrap_or_default();
    let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
    Item { name: text("id").unwrap_or_default(), error: text("error"), fields }
}

fn interval(schedule: &Map<String, Value>, notes: &mut Vec<String>) -> Result<Value, String> {
    let seconds = schedule.get("seconds").and_then(Value::as_f64).ok_or("it has no period")?;
    if seconds < 1.0 || seconds.fract() != 0.0 || seconds > 3.2e9 {
        return Err(format!(
            "its period of {seconds} s is not a number of whole seconds up to a hundred years"
        ));
    }
    if schedule.get("relative") == Some(&Value::Bool(true)) {
        notes.push("its relative start is left out: it counts from 1970".to_owned());
    } else {
        notes.push("beat counts from the last run, and it counts from 1970 here".to_owned());
    }
    Ok(json!({"every": format!("{seconds:.0}s")}))
}

/// `expires` becomes the misfire policy; other options of messages are named.
fn options(job: &mut NewJob, options: Option<&Value>, notes: &mut Vec<String>) {
    let Some(options) = options.and_then(Value::as_object) else { return };
    let mut left = Vec::new();
    for (name, value) in options.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value.as_f64()) {
            ("expires", Some(seconds)) if seconds >= 1.0 => {
                job.misfire_policy = MisfirePolicy::Skip;
                job.misfire_grace_seconds = (seconds as i64).min(GRACE_MAX) as i32;
                notes.push(format!(
                    "expires becomes misfire skip after {} s",
                    job.misfire_grace_seconds
                ));
            }
            _ => left.push(name.as_str()),
        }
    }
    if !left.is_empty() {
        notes.push(format!("left out: {} (--queue chooses a queue for all)", left.join(", ")));
    }
}

#[cfg(test)]
mod tests;
