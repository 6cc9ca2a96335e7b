//! `polychron schedule import`: the jobs that another scheduler's file comes to.
//!
//! [`crontab`] and [`apscheduler`] translate; each entry of the file becomes a job or is refused
//! with the reason, and says how it was translated. [`settle`] then compares the jobs with those a
//! tenant has and, if that is asked for, makes them. No entry is lost on the way: each has a line
//! in the answer.

mod apscheduler;
mod crontab;
mod settle;

use std::collections::HashSet;

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
    /// Its lines name a user before the command, as those of /etc/crontab do
    #[arg(long)]
    system: bool,
    /// The zone of the machine that it comes from, where it has no CRON_TZ; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
pub struct Apscheduler {
    /// The jobs; `-` reads standard input
    file: String,
    /// The scheduler's zone, for jobs that don't state theirs; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Chooses the handler of all; each job's function by default
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

/// What becomes of the jobs.
#[derive(Args)]
pub(crate) struct Terms {
    /// Only show what would be done, which is the default; with --tenant, compare, too
    #[arg(short = 'n', long, conflicts_with = "apply")]
    dry_run: bool,
    /// Make the jobs
    #[arg(long, requires = "tenant")]
    apply: bool,
    /// Whose jobs they become
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Change jobs that have the same name; they are left alone otherwise
    #[arg(long)]
    replace: bool,
    /// Add them paused
    #[arg(long)]
    disabled: bool,
    /// The queue they go through, `default` by default
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

/// What a file comes to.
struct Import {
    entries: Vec<Entry>,
    /// What holds for all entries.
    remarks: Vec<String>,
}

/// What one line or item of a file comes to.
struct Entry {
    /// Where it stands.
    place: String,
    /// What stands there.
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

/// Whether the engine and the tables would take the job; why not, otherwise.
fn check(job: &NewJob) -> Result<(), String> {
    // Which job it will be isn't known yet.
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

/// A job as neither of the sources would have it run twice: both start a run once and never again.
fn job(name: &str, job_type: &str, schedule: Value) -> NewJob {
    NewJob { max_attempts: 1, ..NewJob::new(name, job_type, schedule) }
}

/// A cron schedule. Its zone is stated even where it is the default, for whoever reads it later.
fn cron(expression: &str, timezone: &str) -> Value {
    json!({"cron": expression, "timezone": timezone})
}

/// Names that one import has given.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// The name itself the first time, `name-2` the second: the same at every import of the file.
    fn unique(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let free = candidates.find(|candidate| !self.0.contains(candidate)).unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}
