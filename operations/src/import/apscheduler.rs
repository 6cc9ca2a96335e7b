//! Translates the jobs of APScheduler: a JSON list, or the lines that version 3's `print_jobs()` prints.
//!
//! APScheduler has no export; `exporter.py` writes the list. The printed lines have fewer fields, and are
//! converted to the form of the list first.

mod combined;
mod expression;
mod local_time;
mod printed;

use serde_json::{Map, Value, json};
use shared::clock::{Clock, Time};
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::store::NewJob;

use super::{Entry, Import, Names, Text, job};
use crate::failure::Failure;

/// The longest grace that a job may have, in seconds.
const GRACE_MAX: i64 = 31_536_000;
/// The parts of an interval, with their seconds.
const PARTS: [(&str, i64); 5] =
    [("weeks", 604_800), ("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1)];
/// The other fields of an item that are understood.
const KNOWN: [&str; 22] = [
    "id",
    "name",
    "func",
    "args",
    "kwargs",
    "trigger",
    "timezone",
    "start_date",
    "end_date",
    "run_date",
    "jitter",
    "coalesce",
    "misfire_grace_time",
    "max_instances",
    "next_run_time",
    "executor",
    "jobstore",
    "triggers",
    "years",
    "months",
    "notes",
    "error",
];

/// Translates a file of APScheduler's.
pub struct Reader {
    /// The time zone of jobs that state none; none: UTC.
    pub timezone: Option<String>,
    /// The type of all jobs; none: each job's function.
    pub job_type: Option<String>,
}

/// One entry of the file.
struct Found {
    place: String,
    source: String,
    /// The entry in the form of the list, or why it is not understood.
    fields: Result<Map<String, Value>, String>,
}

/// One job of the list.
struct Item<'a> {
    fields: &'a Map<String, Value>,
    /// Its own time zone, the scheduler's, or UTC.
    timezone: String,
    notes: Vec<String>,
    /// How many triggers it is part of.
    depth: usize,
}

impl Reader {
    /// Translates `text`.
    ///
    /// # Errors
    /// If it begins like JSON and is not a list of objects.
    pub fn read(&self, text: &Text) -> Result<Import, Failure> {
        let mut remarks = text.remarks.clone();
        let found = match text.text.trim_start().starts_with(['[', '{']) {
            true => listed(&text.text)?,
            false => printed(&text.text),
        };
        if found.is_empty() {
            remarks.push(match text.is_blank() {
                true => "the file is empty".to_owned(),
                false => "the file has no jobs".to_owned(),
            });
        }
        let mut names = Names::default();
        let entries = found.into_iter().map(|Found { place, source, fields }| {
            let (notes, job) = match fields {
                Ok(fields) => self.translate(&fields, &mut names),
                Err(reason) => (Vec::new(), Err(reason)),
            };
            Entry { place, source, notes, is_named: true, job }
        });
        let entries = entries.collect();
        remarks.push(
            "a consumer must bring a handler for each type; changes of clocks follow \
             docs/schedules.md, and a failed run is not tried again, as before"
                .to_owned(),
        );
        Ok(Import::new(entries, remarks))
    }

    fn translate(
        &self,
        fields: &Map<String, Value>,
        names: &mut Names,
    ) -> (Vec<String>, Result<NewJob, String>) {
        let mut item = Item { fields, timezone: "UTC".to_owned(), notes: Vec::new(), depth: 0 };
        let job = self.job(&mut item, names);
        (item.notes, job)
    }

    fn job(&self, item: &mut Item<'_>, names: &mut Names) -> Result<NewJob, String> {
        let name = names.unique(&item.name());
        if let Some(reason) = item.text("error")? {
            return Err(reason);
        }
        let notes = item.fields.get("notes").and_then(Value::as_array);
        let notes = notes.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        item.notes.extend(notes);
        match item.text("timezone")?.or_else(|| self.timezone.clone()) {
            Some(timezone) => item.timezone = timezone,
            None => item.note("no time zone is stated: UTC is assumed (--timezone)"),
        }
        let job_type = match (&self.job_type, item.text("func")?) {
            (Some(given), _) => given.clone(),
            (None, Some(function)) => function,
            (None, None) => {
                item.note("no function is stated: its name is its type (--type)");
                name.clone()
            }
        };
        let schedule = item.schedule()?;
        let mut job = job(&name, &job_type, schedule);
        job.payload = item.payload();
        job.is_enabled = item.fields.get("next_run_time") != Some(&Value::Null);
        if !job.is_enabled {
            item.note("it is paused");
        }
        item.policies(&mut job)?;
        item.note_untranslated_fields();
        Ok(job)
    }
}

/// The items of a JSON list.
fn listed(text: &str) -> Result<Vec<Found>, Failure> {
    let list: Vec<Map<String, Value>> = serde_json::from_str(text)
        .map_err(|error| Failure::Usage(format!("FILE isn't a JSON list of jobs: {error}")))?;
    let numbered = list.into_iter().enumerate();
    let found = numbered.map(|(index, fields)| Found {
        place: format!("job {}", index + 1),
        source: Value::Object(fields.clone()).to_string(),
        fields: Ok(fields),
    });
    Ok(found.collect())
}

/// The entries of a printed list.
fn printed(text: &str) -> Vec<Found> {
    let numbered = text.lines().enumerate().filter(|(_, line)| printed::is_job(line));
    let found = numbered.map(|(index, line)| Found {
        place: format!("line {}", index + 1),
        source: line.trim().to_owned(),
        fields: printed::read(line),
    });
    found.collect()
}

impl Item<'_> {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The job's name: its id, unless APScheduler generated that at random.
    fn name(&self) -> String {
        let text = |field: &str| self.fields.get(field).and_then(Value::as_str).map(str::to_owned);
        let drawn = |id: &String| id.len() == 32 && id.chars().all(|char| char.is_ascii_hexdigit());
        let id = text("id").filter(|id| !id.is_empty());
        let chosen = id.clone().filter(|id| !drawn(id)).or_else(|| text("name")).or(id);
        chosen.unwrap_or_else(|| "job".to_owned())
    }

    /// A field as text; a number as its digits.
    fn text(&self, field: &str) -> Result<Option<String>, String> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{field} is neither a text nor a number")),
        }
    }

    /// A field as a whole number; 2.0 is one, too.
    fn whole(&self, field: &str) -> Result<Option<i64>, String> {
        let Some(value) = self.fields.get(field).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let float = value.as_f64().filter(|float| float.fract() == 0.0);
        let whole = value.as_i64().or_else(|| float.map(|float| float as i64));
        let whole = whole.filter(|whole| *whole >= 0);
        whole.map(Some).ok_or_else(|| format!("{field} isn't a whole number"))
    }

    /// A field as an instant.
    fn time(&self, field: &str) -> Result<Option<Time>, String> {
        let text = self.text(field)?;
        let time = text.map(|text| local_time::read(&text, &self.timezone)).transpose();
        time.map_err(|reason| format!("{field}: {reason}"))
    }

    fn schedule(&mut self) -> Result<Value, String> {
        let trigger = self.text("trigger")?.ok_or("it has no trigger")?;
        // Exported fields are complete.
        if self.fields.contains_key("triggers") {
            return self.of_kind(&trigger);
        }
        if let Some(printed) = printed::trigger(&trigger) {
            // The fields beside the printed trigger are more precise, and complete.
            let mut fields = printed?;
            let kind = fields.get("trigger").cloned();
            fields.extend(self.fields.clone());
            fields.extend(kind.map(|kind| ("trigger".to_owned(), kind)));
            let (timezone, notes) = (self.timezone.clone(), std::mem::take(&mut self.notes));
            let mut whole = Item { fields: &fields, timezone, notes, depth: self.depth };
            let schedule = whole.of_kind(&whole.text("trigger")?.unwrap_or_default());
            self.notes = whole.notes;
            return schedule;
        }
        self.of_kind(&trigger)
    }

    fn of_kind(&mut self, trigger: &str) -> Result<Value, String> {
        let mut bounds = self.bounds()?;
        let mut schedule = match trigger {
            "cron" => {
                let (schedule, notes) = expression::schedule(self.fields, &self.timezone)?;
                self.notes.extend(notes);
                bounds = self.within_years(bounds)?;
                schedule
            }
            "interval" => {
                // It counts from its start, which is therefore an occurrence.
                bounds.0 = None;
                self.interval()?
            }
            "calendarinterval" => return self.calendar_interval(),
            "date" => return self.date(),
            "or" => return self.either(),
            "and" => {
                return Err(
                    "a trigger `and` has no counterpart: keep one of its triggers, and check \
                            the others in the handler"
                        .to_owned(),
                );
            }
            other => {
                return Err(format!(
                    "a trigger `{other}` has no counterpart; there are cron, interval, calendarinterval, date and or"
                ));
            }
        };
        for (bound, time) in [("start", bounds.0), ("end", bounds.1)] {
            if let Some(time) = time {
                schedule[bound] = json!(local_time::written(time));
            }
        }
        self.add_jitter(&mut schedule)?;
        Ok(schedule)
    }

    fn add_jitter(&mut self, schedule: &mut Value) -> Result<(), String> {
        if let Some(jitter) = self.whole("jitter")?.filter(|jitter| *jitter > 0) {
            schedule["jitter"] = json!(format!("{jitter}s"));
            self.note(format!(
                "jitter was drawn anew for each run, and is one fixed delay below {jitter} s here"
            ));
        }
        Ok(())
    }

    fn bounds(&self) -> Result<(Option<Time>, Option<Time>), String> {
        Ok((self.time("start_date")?, self.time("end_date")?))
    }

    /// The bounds narrowed to the years of a cron trigger.
    fn within_years(
        &self,
        (start, end): (Option<Time>, Option<Time>),
    ) -> Result<(Option<Time>, Option<Time>), String> {
        let Some((first, last)) = expression::years(self.fields)? else { return Ok((start, end)) };
        let first = local_time::read(&format!("{first}-01-01"), &self.timezone)?;
        let last = local_time::read(&format!("{last}-12-31 23:59:59"), &self.timezone)?;
        let start = start.map_or(first, |start| start.max(first));
        let end = end.map_or(last, |end| end.min(last));
        Ok((Some(start), Some(end)))
    }

    fn interval(&mut self) -> Result<Value, String> {
        let mut seconds = 0_i64;
        for (part, length) in PARTS {
            let count = self.whole(part)?.unwrap_or_default();
            let part = count.checked_mul(length).ok_or_else(|| format!("{part} is too large"))?;
            seconds = seconds.saturating_add(part);
        }
        if seconds == 0 {
            seconds = 1;
            self.note("an interval without a length is one second");
        }
        let mut schedule = json!({"every": duration(seconds)});
        match self.time("start_date")? {
            Some(from) => schedule["from"] = json!(local_time::written(from)),
            None => self
                .note("no start_date is stated: counted from 1970, not from when the job was made"),
        }
        Ok(schedule)
    }

    fn date(&mut self) -> Result<Value, String> {
        let text = self.text("run_date")?.ok_or("a date trigger needs a run_date")?;
        let at = local_time::read(&text, &self.timezone);
        let at = at.map_err(|reason| format!("run_date: {reason}"))?;
        if at < Clock::System.wall_time() {
            return Err(format!("its only time, {}, is past", local_time::written(at)));
        }
        Ok(json!({"at": local_time::written(at)}))
    }

    /// The arguments of the function.
    fn payload(&self) -> Value {
        let given = ["args", "kwargs"].into_iter().filter_map(|field| {
            let value = self.fields.get(field)?;
            let empty = value.is_null() || *value == json!([]) || *value == json!({});
            (!empty).then(|| (field.to_owned(), value.clone()))
        });
        Value::Object(given.collect())
    }

    fn policies(&mut self, job: &mut NewJob) -> Result<(), String> {
        if let Some(coalesce) = self.fields.get("coalesce").and_then(Value::as_bool) {
            let policy = if coalesce { MisfirePolicy::RunOnce } else { MisfirePolicy::RunAll };
            job.misfire_policy = policy;
            self.note(format!("coalesce={coalesce} becomes misfire {policy}"));
        }
        match (self.fields.get("misfire_grace_time"), self.whole("misfire_grace_time")?) {
            (None, _) => {}
            (Some(_), None | Some(0)) => {
                self.note("no misfire_grace_time: however late it is, misfire says what runs");
            }
            (Some(_), Some(grace)) => {
                job.misfire_grace_seconds = grace.min(GRACE_MAX) as i32;
                self.note(format!(
                    "misfire_grace_time={grace} becomes a grace of {} s; what is later was \
                     dropped, and is subject to misfire {} here (`job edit --misfire skip` drops it)",
                    job.misfire_grace_seconds, job.misfire_policy
                ));
            }
        }
        if let Some(most) = self.whole("max_instances")? {
            job.overlap_policy = if most > 1 { OverlapPolicy::Allow } else { OverlapPolicy::Skip };
            let bound = if most > 1 { ", without that bound" } else { "" };
            self.note(format!(
                "max_instances={most} becomes overlap {}{bound}",
                job.overlap_policy
            ));
        }
        Ok(())
    }

    /// Notes the fields that are not translated, so that nothing is dropped silently.
    fn note_untranslated_fields(&mut self) {
        let known = |field: &&String| {
            let field = field.as_str();
            !KNOWN.contains(&field)
                && !expression::FIELDS.contains(&field)
                && !PARTS.iter().any(|(part, _)| *part == field)
        };
        let untranslated: Vec<&str> =
            self.fields.keys().filter(known).map(String::as_str).collect();
        if !untranslated.is_empty() {
            self.note(format!("left out: {}", untranslated.join(", ")));
        }
    }
}

/// A duration as a whole number of the largest unit that divides it.
fn duration(seconds: i64) -> String {
    let unit = PARTS.iter().find(|(_, length)| seconds % length == 0);
    let (name, length) = unit.copied().unwrap_or(("seconds", 1));
    format!("{}{}", seconds / length, &name[..1])
}

#[cfg(test)]
mod tests;
