//! `polychron schedule import`: translates another scheduler's file to jobs.
//!
//! Without `--apply` it only shows what it would do.

use clap::{Args, Subcommand};
use shared::config::{Config, Problems};

use crate::input;
use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::session::{Request, Session, mention_suspension};
use operations::failure::Failure;
use operations::import::{self, Existing, Import, ImportedEntry, Outcome, apscheduler, crontab};
use operations::job::timing;

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

const COLUMNS: &[Column<ImportedEntry>] = &[
    column("PLACE", |entry| entry.place.clone()),
    column("OUTCOME", |entry| entry.outcome.to_string()),
    column("NAME", |entry| maybe(entry.job.as_ref().map(|job| &job.name))),
    column("SOURCE", |entry| entry.source.clone()),
    column("TYPE", |entry| maybe(entry.job.as_ref().map(|job| &job.job_type))),
    whole_column("SCHEDULE", |entry| maybe(entry.job.as_ref().map(|job| timing(&job.schedule)))),
    column("PAYLOAD", |entry| maybe(entry.job.as_ref().map(|job| &job.payload))),
    whole_column("TRANSLATION", |entry| {
        let sentences = entry.reason.iter().chain(&entry.translation);
        sentences.map(String::as_str).collect::<Vec<_>>().join("; ")
    }),
];

pub(super) async fn run(
    source: Source,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let (mut translated, terms) = match source {
        Source::Crontab(Crontab { file, system, timezone, terms }) => {
            let format = if system { crontab::Format::System } else { crontab::Format::User };
            (crontab::read(&read(&file)?, format, timezone.as_deref()), terms)
        }
        Source::Apscheduler(Apscheduler { file, timezone, job_type, terms }) => {
            let reader = apscheduler::Reader { timezone, job_type };
            (reader.read(&read(&file)?)?, terms)
        }
    };
    if terms.disabled {
        translated = translated.paused();
    }
    if let Some(queue) = &terms.queue {
        translated = translated.on_queue(queue);
    }
    translated.remarks.iter().for_each(|remark| say(remark));
    let entries = match &terms.tenant {
        None => import::preview(translated),
        Some(slug) => {
            let session = Session::open(config?, output, request).await?;
            Box::pin(at_tenant(translated, slug, &terms, &session)).await?
        }
    };
    output.list(&entries, COLUMNS)?;
    if !terms.apply {
        say("nothing was changed; --apply --tenant TENANT makes the jobs");
    }
    let count = |outcome| entries.iter().filter(|entry| entry.outcome == outcome).count();
    let (refused, failed) = (count(Outcome::Refused), count(Outcome::Failed));
    if refused + failed > 0 {
        let all = entries.len();
        return Err(Failure::Failed(format!(
            "{refused} of {all} entries were refused, {failed} failed; the list says why"
        )));
    }
    Ok(())
}

async fn at_tenant(
    translated: Import,
    slug: &str,
    terms: &Terms,
    session: &Session,
) -> Result<Vec<ImportedEntry>, Failure> {
    let at = session.context.enter(slug).await?;
    let actor = session.actor.clone();
    let is_dry_run = actor.is_dry_run() || !terms.apply;
    let actor = actor.with_dry_run(is_dry_run);
    let existing = if terms.replace { Existing::Replace } else { Existing::Keep };
    let entries = import::add(&session.context, &actor, &at, translated, existing).await;
    if entries.iter().any(ImportedEntry::is_made) {
        mention_suspension(&at.tenant);
    }
    Ok(entries)
}

fn read(file: &str) -> Result<String, Failure> {
    match file {
        "-" => input::read_stdin("FILE"),
        path => input::read_file("FILE", path),
    }
}
