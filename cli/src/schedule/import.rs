//! `polychron schedule import`: translates another scheduler's file to jobs.
//!
//! [`crontab`] and [`apscheduler`] translate: each entry of the file becomes a job or is rejected
//! with a reason, and says how it was translated. [`settle`] then compares the jobs with the tenant's
//! and adds them if asked to. Each entry has a line in the result.

mod apscheduler;
mod crontab;
mod settle;

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::config::{Config, Problems};
use shared::id::{JobId, TenantId};
use shared::job::PAYLOAD_BYTES_MAX;
use shared::schedule::{Schedule, Spread};
use shared::store::NewJob;
use uuid::Uuid;

use crate::input;
use crate::output::{Output, say};
use crate::session::Request;
use operations::failure::Failure;

#[derive(Subcommand)]
pub enum Source {
    /// The entries of a crontab
    #[command(after_help = "Examples:
  crontab -l | polychron schedule import crontab - --timezone Europe/London
  polychron schedule import crontab /etc/crontab --system --tenant acme --apply")]
    Crontab(Crontab),
    /// APScheduler's jobs: a JSON list, or what `print_jobs()` prints
    #[command(after_help = "Examples:
  polychron schedule import apscheduler jobs.json
  polychron schedule import apscheduler jobs.txt --timezone Europe/London --type report
  polychron schedule import apscheduler jobs.json --tenant acme --apply --disabled")]
    Apscheduler(Apscheduler),
}

#[derive(Args)]
pub struct Crontab {
    /// The crontab; `-` reads standard input
    file: String,
    /// Its lines have a user before the command, as in /etc/crontab
    #[arg(long)]
    system: bool,
    /// The time zone of the machine it comes from, for lines without CRON_TZ; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
pub struct Apscheduler {
    /// The jobs; `-` reads standard input
    file: String,
    /// The scheduler's time zone, for jobs without one of their own; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The type of all jobs, which selects the handler; each job's function by default
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

/// What to do with the jobs.
#[derive(Args)]
pub(crate) struct Terms {
    /// Only show what would be done, which is the default; with --tenant, compared with its jobs
    #[arg(short = 'n', long, conflicts_with = "apply")]
    dry_run: bool,
    /// Add the jobs
    #[arg(long, requires = "tenant")]
    apply: bool,
    /// The tenant to add them to
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Change existing jobs of the same name, which stay as they are otherwise
    #[arg(long)]
    replace: bool,
    /// Add them paused
    #[arg(long)]
    disabled: bool,
    /// Their queue, `default` by default
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

/// The translation of a file.
struct Import {
    entries: Vec<Entry>,
    /// Remarks about all entries.
    remarks: Vec<String>,
}

/// The translation of one line or item.
struct Entry {
    /// Its place in the file.
    place: String,
    /// Its text.
    source: String,
    /// How it was translated, a sentence each.
    notes: Vec<String>,
    /// The job, or why there is none.
    job: Result<NewJob, String>,
}

pub(super) async fn run(
    source: Source,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let (Import { mut entries, remarks }, terms) = match source {
        Source::Crontab(Crontab { file, system, timezone, terms }) => {
            (crontab::read(&read(&file)?, system, timezone.as_deref()), terms)
        }
        Source::Apscheduler(Apscheduler { file, timezone, job_type, terms }) => {
            let reader = apscheduler::Reader { timezone, job_type };
            (reader.read(&read(&file)?)?, terms)
        }
    };
    for Entry { job, .. } in &mut entries {
        if let Ok(new) = job {
            new.is_enabled &= !terms.disabled;
            new.queue = terms.queue.clone().unwrap_or_else(|| new.queue.clone());
        }
        if let Err(reason) = job.as_ref().map_err(Clone::clone).and_then(check) {
            *job = Err(reason);
        }
    }
    remarks.iter().for_each(|remark| say(remark));
    Box::pin(settle::run(entries, &terms, config, output, request)).await
}

fn read(file: &str) -> Result<String, Failure> {
    match file {
        "-" => input::read_stdin("FILE"),
        path => input::read_file("FILE", path),
    }
}

/// Checks that the engine and the tables accept the job.
fn check(job: &NewJob) -> Result<(), String> {
    // The job is not known yet.
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
    //! What a stranger's file holds: `make fuzz` runs these for longer.

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
            let text = String::from_utf8_lossy(text);
            let read = |system| outcome(crontab::read(&text, system, Some("Europe/Berlin")));
            read(false) + &read(true)
        });
    }

    #[test]
    fn fuzz_apscheduler() {
        let reader = apscheduler::Reader { timezone: None, job_type: None };
        fuzz("apscheduler", &WORDS, |text| match reader.read(&String::from_utf8_lossy(text)) {
            Ok(import) => outcome(import),
            Err(failure) => failure.to_string().chars().take(20).collect(),
        });
    }
}
