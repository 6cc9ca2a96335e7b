//! Imports the jobs of other schedulers.
//!
//! [`crontab`], [`apscheduler`], [`systemd`], [`kubernetes`] and [`celery`] translate: each entry of a file becomes
//! a job or is rejected with a reason, and says how it was translated. [`add()`] compares the jobs with a tenant's and adds them.
//! Each entry has a line in the [`Report`].

mod add;
pub mod apscheduler;
pub mod celery;
pub mod crontab;
mod days;
mod document;
pub mod kubernetes;
mod matching;
mod name;
mod report;
pub mod systemd;
mod text;

use std::collections::HashMap;

use serde_json::{Value, json};
use shared::id::{JobId, TenantId};
use shared::job::PAYLOAD_BYTES_MAX;
use shared::schedule::{Schedule, Spread};
use shared::store::NewJob;
use uuid::Uuid;

pub use add::{Existing, add, preview};
pub use matching::OtherJobs;
pub use report::{Counts, ImportedEntry, Outcome, Report};
pub use text::Text;

/// A Python program that writes the jobs of APScheduler and Celery beat. It runs with the application's own
/// interpreter, which alone can read them: job stores contain pickles, and reading these runs code.
pub const EXPORTER: &str = include_str!("import/exporter.py");

/// The translation of a file.
pub struct Import {
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// Remarks about all entries.
    pub remarks: Vec<String>,
}

/// The translation of one line or item.
pub struct Entry {
    /// Its place in the file.
    pub place: String,
    /// Its text.
    pub source: String,
    /// How it was translated, a sentence each.
    pub notes: Vec<String>,
    /// Whether the other scheduler gives it a name, which tells it apart from others that do the same.
    pub is_named: bool,
    /// The job, or why there is none.
    pub job: Result<NewJob, String>,
}

/// The most entries of an import.
const ENTRIES_MAX: usize = 10_000;
/// The most bytes that the payloads of an import have together. Settings of a crontab are part of the
/// payload of each line below them, so that a small file can become large jobs.
const PAYLOADS_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Import {
    /// Rejects the jobs that the engine or the tables would not accept.
    fn new(mut entries: Vec<Entry>, remarks: Vec<String>) -> Import {
        for Entry { job, .. } in &mut entries {
            if let Ok(new) = &*job
                && let Err(reason) = check(new)
            {
                *job = Err(reason);
            }
        }
        Import { entries, remarks }
    }

    /// The same with all jobs paused.
    pub fn paused(mut self) -> Import {
        self.each_job(|job| job.is_enabled = false);
        self
    }

    /// The same with all jobs on this queue.
    pub fn on_queue(mut self, queue: &str) -> Import {
        self.each_job(|job| job.queue = queue.to_owned());
        self
    }

    fn each_job(&mut self, change: impl Fn(&mut NewJob)) {
        self.entries.iter_mut().flat_map(|entry| entry.job.as_mut()).for_each(change);
    }
}

/// Checks that the engine and the tables accept a job.
fn check(job: &NewJob) -> Result<(), String> {
    // The job has no id yet, which would choose the values of `H`.
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    Schedule::read(&job.schedule.to_string(), spread).map_err(|error| error.to_string())?;
    let (name, job_type) = (job.name.chars().count(), job.job_type.chars().count());
    if !(1..=200).contains(&name) {
        return Err(format!("its name has {name} characters, not 1 to 200"));
    }
    if !(1..=100).contains(&job_type) {
        return Err(format!("its type has {job_type} characters, not 1 to 100; give --type"));
    }
    let bytes = job.payload.to_string().len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(format!("its payload has {bytes} bytes, more than {PAYLOAD_BYTES_MAX}"));
    }
    Ok(())
}

/// A job with one attempt, since neither source retries.
fn job(name: &str, job_type: &str, schedule: Value) -> NewJob {
    NewJob { max_attempts: 1, ..NewJob::new(name, job_type, schedule) }
}

/// A cron schedule, with the zone stated even if it is the default.
fn cron(expression: &str, timezone: &str) -> Value {
    json!({"cron": expression, "timezone": timezone})
}

/// How much more an import may hold.
struct Budget {
    entries: usize,
    payload_bytes: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { entries: ENTRIES_MAX, payload_bytes: PAYLOADS_BYTES_MAX }
    }
}

impl Budget {
    /// Takes one entry; the reason to refuse it, if there is no room for it.
    fn take_entry(&mut self) -> Result<(), String> {
        let left = self.entries.checked_sub(1);
        self.entries = left.ok_or_else(|| {
            format!("it comes after {ENTRIES_MAX} entries, the most of one import: divide the file")
        })?;
        Ok(())
    }

    /// Takes a payload's size.
    fn take_payload(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.payload_bytes.checked_sub(bytes);
        self.payload_bytes = left.ok_or_else(|| {
            format!(
                "the payloads before it have {} MiB, the most of one import: divide the file, or move its settings to \
                 scripts",
                PAYLOADS_BYTES_MAX / 1024 / 1024
            )
        })?;
        Ok(())
    }
}

/// The names given in one import, each with the number to try next for one like it.
#[derive(Default)]
struct Names(HashMap<String, u64>);

impl Names {
    /// The name itself the first time, `name-2` the second: the same at every import of the file.
    fn unique(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        // Numbers are not tried again, or a thousand equal names would take a million attempts.
        while self.0.contains_key(&free) {
            let number = self.0.entry(name.to_owned()).or_insert(2);
            free = format!("{name}-{number}");
            *number += 1;
        }
        self.0.insert(free.clone(), 2);
        free
    }
}

#[cfg(test)]
mod fuzz {
    //! Fuzzes the translation of files of unknown origin; `make fuzz` runs for longer.

    use testkit::fuzz;

    use super::*;

    const WORDS: [&str; 24] = [
        "*",
        "*/",
        "-",
        "~",
        "L",
        "@daily",
        "@every",
        "CRON_TZ=",
        "MAILTO=",
        "SHELL=",
        "%",
        "\\%",
        "&&",
        "'",
        "\"trigger\"",
        "\"cron\"",
        "\"interval\"",
        "\"date\"",
        "last",
        "1st fri",
        "trigger: cron[",
        "next run at: ",
        "(trigger: interval[",
        "Europe/Berlin",
    ];

    const UNIT_WORDS: [&str; 12] = [
        "[Timer]\n",
        "[Service]\n",
        "OnCalendar=",
        "Mon..Fri *-*-* 09:00",
        "OnUnitActiveSec=",
        "RandomizedDelaySec=",
        "ExecStart=",
        "Environment=",
        "/bin/a",
        "%i",
        "${A}",
        "\\\n",
    ];
    const DOCUMENT_WORDS: [&str; 20] = [
        "{\"kind\": \"CronJob\", ",
        "\"spec\": {",
        "\"jobTemplate\": {",
        "\"template\": {",
        "\"containers\": [{",
        "\"command\": [\"/bin/a\"]",
        "\"schedule\": ",
        "{\"celery\": {\"beat_schedule\": [",
        "{\"type\": \"crontab\", ",
        "\"day_of_week\": \"",
        "{\"model\": \"django_celery_beat.periodictask\", \"fields\": {",
        "$(A)",
        "}",
        "]",
        "kind: CronJob\nspec:\n",
        "  schedule: '",
        "\n---\n",
        "&a ",
        "*a",
        "- ",
    ];

    /// Each job that would be imported is one that the engine accepts.
    fn outcome(import: Import) -> String {
        let mut outcome = import.entries.len().min(3).to_string();
        for Entry { job, .. } in import.entries {
            if let Err(reason) = job.and_then(|job| check(&job)) {
                outcome.extend(reason.chars().filter(|c| c.is_ascii_lowercase()).take(40));
            }
        }
        outcome
    }

    #[test]
    fn fuzz_crontab() {
        fuzz("crontab", &WORDS, |text| {
            let text = Text::decode(text);
            let read = |format, cron| {
                let reader = crontab::Reader {
                    format,
                    cron,
                    timezone: Some("Europe/Berlin"),
                    home: Some("/home/a"),
                };
                outcome(reader.read(&text))
            };
            read(crontab::Format::Recognised, crontab::Cron::Unknown)
                + &read(crontab::Format::System, crontab::Cron::Supercronic)
        });
    }

    #[test]
    fn fuzz_units() {
        fuzz("units", &UNIT_WORDS, |text| {
            let files = [
                ("a.timer".to_owned(), Text::decode(text)),
                ("a.service".to_owned(), Text::decode(text)),
            ];
            outcome(systemd::Reader { timezone: Some("Europe/Berlin") }.read(&files))
        });
    }

    #[test]
    fn fuzz_documents() {
        let kubernetes = kubernetes::Reader::default();
        let celery = celery::Reader::default();
        fuzz("documents", &DOCUMENT_WORDS, |text| {
            let text = Text::decode(text);
            let read = [kubernetes.read(&text), celery.read(&text)];
            read.into_iter()
                .map(|import| import.map_or_else(|_| "no".to_owned(), outcome))
                .collect()
        });
    }

    #[test]
    fn fuzz_apscheduler() {
        let reader = apscheduler::Reader { timezone: None, job_type: None };
        fuzz("apscheduler", &WORDS, |text| match reader.read(&Text::decode(text)) {
            Ok(import) => outcome(import),
            Err(failure) => failure.to_string().chars().take(20).collect(),
        });
    }
}
