//! `polychron schedule import`: translates another scheduler's file to jobs.
//!
//! Without `--apply` it only shows what it would do.

use clap::{Args, Subcommand, ValueEnum};
use shared::config::{Config, Problems};

use crate::input;
use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::session::{Request, Session, mention_suspension};
use operations::failure::Failure;
use operations::import::{
    self, Existing, Import, ImportedEntry, Report, Text, apscheduler, celery, crontab, kubernetes,
    systemd,
};
use operations::job::timing;

#[derive(Subcommand)]
pub enum Source {
    /// The entries of a crontab
    #[command(after_help = "Examples:
  crontab -l | polychron schedule import crontab - --timezone Europe/London
  polychron schedule import crontab /etc/crontab --system --tenant acme --apply")]
    Crontab(Crontab),
    /// APScheduler's jobs: what `polychron schedule exporter` writes, or `print_jobs()` prints
    #[command(after_help = "Examples:
  polychron schedule import apscheduler jobs.json
  polychron schedule import apscheduler jobs.txt --timezone Europe/London --type report
  polychron schedule import apscheduler jobs.json --tenant acme --apply --disabled")]
    Apscheduler(Named),
    /// systemd's timers with their services: unit files, or what `systemctl cat` prints
    #[command(after_help = "Examples:
  polychron schedule import systemd backup.timer backup.service
  systemctl cat 'backup.*' | polychron schedule import systemd - --tenant acme --apply")]
    Systemd(Systemd),
    /// Kubernetes' CronJobs: manifests in YAML, or what `kubectl get cronjob -o json` prints
    #[command(after_help = "Examples:
  kubectl get cronjob -o json | polychron schedule import kubernetes -
  polychron schedule import kubernetes report.yaml --type pod")]
    Kubernetes(Named),
    /// Celery beat's schedules: what `polychron schedule exporter` or `manage.py dumpdata django_celery_beat` writes
    #[command(after_help = "Examples:
  manage.py dumpdata django_celery_beat | polychron schedule import celery - --tenant acme --apply
  polychron schedule exporter > exporter.py
  python exporter.py celery --app shop.celery:app | polychron schedule import celery -")]
    Celery(Named),
}

#[derive(Args)]
pub struct Crontab {
    /// The crontab; `-` reads standard input
    file: String,
    /// Its lines have a user before the command, as in /etc/crontab; recognised by default
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// Its lines have no user before the command
    #[arg(long)]
    user: bool,
    /// The cron that it is for, which decides what CRON_TZ, TZ, `%` and further fields mean
    #[arg(long, value_name = "CRON")]
    cron: Option<Cron>,
    /// The time zone of the machine it comes from, for lines without CRON_TZ; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The home directory of its user, where cron starts commands, for lines without HOME
    #[arg(long, value_name = "DIR")]
    home: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

/// Jobs that have names there.
#[derive(Args)]
pub struct Named {
    /// The jobs; `-` reads standard input
    file: String,
    /// The scheduler's time zone, for jobs without one of their own; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The type of all jobs, which selects the handler; by default each job's function or task, and `command`
    /// for CronJobs
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
pub struct Systemd {
    /// Timers and services; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The time zone of the machine, for times without one of their own; UTC by default
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cron {
    /// Red Hat, SUSE, Arch
    Cronie,
    /// Vixie's, in Debian and Ubuntu
    Debian,
    /// FreeBSD and OpenBSD
    Freebsd,
    /// NetBSD
    Netbsd,
    /// systemd's generator
    #[value(name = "systemd-cron")]
    Systemd,
    /// Alpine
    Busybox,
    /// Containers; six fields have years, seven also seconds
    Supercronic,
}

impl From<Cron> for crontab::Cron {
    fn from(cron: Cron) -> crontab::Cron {
        match cron {
            Cron::Cronie => crontab::Cron::Cronie,
            Cron::Debian => crontab::Cron::Debian,
            Cron::Freebsd => crontab::Cron::Freebsd,
            Cron::Netbsd => crontab::Cron::Netbsd,
            Cron::Systemd => crontab::Cron::SystemdCron,
            Cron::Busybox => crontab::Cron::Busybox,
            Cron::Supercronic => crontab::Cron::Supercronic,
        }
    }
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
    /// Change existing jobs that differ, which stay as they are otherwise
    #[arg(long)]
    replace: bool,
    /// Keep existing jobs that differ, and add the file's as further jobs
    #[arg(long, conflicts_with = "replace")]
    beside: bool,
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
    let (mut translated, terms) = translate(source)?;
    if terms.disabled {
        translated = translated.paused();
    }
    if let Some(queue) = &terms.queue {
        translated = translated.on_queue(queue);
    }
    let report = match &terms.tenant {
        None => import::preview(translated),
        Some(slug) => {
            let session = Session::open(config?, output, request).await?;
            Box::pin(at_tenant(translated, slug, &terms, &session)).await?
        }
    };
    show(&report, &terms, output)
}

fn translate(source: Source) -> Result<(Import, Terms), Failure> {
    Ok(match source {
        Source::Crontab(Crontab { file, system, user, cron, timezone, home, terms }) => {
            let format = match (system, user) {
                (true, _) => crontab::Format::System,
                (_, true) => crontab::Format::User,
                (false, false) => crontab::Format::of_path(&file),
            };
            let reader = crontab::Reader {
                format,
                cron: cron.map_or(crontab::Cron::Unknown, Into::into),
                timezone: timezone.as_deref(),
                home: home.as_deref(),
            };
            (reader.read(&read(&file)?), terms)
        }
        Source::Apscheduler(Named { file, timezone, job_type, terms }) => {
            let reader = apscheduler::Reader { timezone, job_type };
            (reader.read(&read(&file)?)?, terms)
        }
        Source::Systemd(Systemd { files, timezone, terms }) => {
            let read = |file: String| read(&file).map(|text| (file, text));
            let files: Vec<(String, Text)> =
                files.into_iter().map(read).collect::<Result<_, _>>()?;
            (systemd::Reader { timezone: timezone.as_deref() }.read(&files), terms)
        }
        Source::Kubernetes(Named { file, timezone, job_type, terms }) => {
            let reader = kubernetes::Reader { timezone, job_type };
            (reader.read(&read(&file)?)?, terms)
        }
        Source::Celery(Named { file, timezone, job_type, terms }) => {
            let reader = celery::Reader { timezone, job_type };
            (reader.read(&read(&file)?)?, terms)
        }
    })
}

fn show(report: &Report, terms: &Terms, output: Output) -> Result<(), Failure> {
    let Report { entries, counts, remarks, other_jobs } = report;
    if output.is_document() {
        output.record(report, &[])?;
    } else {
        remarks.iter().for_each(|remark| say(remark));
        output.list(entries, COLUMNS)?;
        if other_jobs.count > 0 {
            let more = other_jobs.count - other_jobs.names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            say(&format!(
                "jobs of the tenant that correspond to no entry: {}{more}; pause those whose entry was removed or \
                 replaced",
                other_jobs.names.join(", ")
            ));
        }
        say(&counts.to_string());
    }
    if !terms.apply {
        say("nothing was changed; --apply --tenant TENANT makes the jobs");
    }
    if counts.left + counts.differing > 0 {
        return Err(Failure::Failed(format!("{counts}; the list says why")));
    }
    Ok(())
}

async fn at_tenant(
    translated: Import,
    slug: &str,
    terms: &Terms,
    session: &Session,
) -> Result<Report, Failure> {
    let at = session.context.enter(slug).await?;
    let actor = session.actor.clone();
    let is_dry_run = actor.is_dry_run() || !terms.apply;
    let actor = actor.with_dry_run(is_dry_run);
    let existing = match (terms.replace, terms.beside) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::AddBeside,
        (false, false) => Existing::Keep,
    };
    let report = import::add(&session.context, &actor, &at, translated, existing).await?;
    if report.entries.iter().any(ImportedEntry::is_made) {
        mention_suspension(&at.tenant);
    }
    Ok(report)
}

fn read(file: &str) -> Result<Text, Failure> {
    let bytes = match file {
        "-" => input::read_stdin_bytes("FILE"),
        path => input::read_file_bytes("FILE", path),
    };
    Ok(Text::decode(&bytes?))
}
