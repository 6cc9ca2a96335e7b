//! `polychron job …`: what a tenant's jobs are.

mod definition;
mod delete;
mod explain;
mod next;
mod run;

use clap::{Args, Subcommand};
use serde_json::Value;
use shared::clock::Time;
use shared::id::JobId;
use shared::job::Job;
use shared::schedule::Spread;
use shared::store::{JobEdit, Store};
use shared::tenant::Tenant;

use crate::exit::Failure;
use crate::output::{Column, column, maybe, say, time, whole_column};
use crate::session::{Session, mind_suspension};
use definition::{Definition, Timing};
pub(crate) use run::report;

/// How many jobs are read at once.
const PAGE: i64 = 500;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Add a job
    #[command(after_help = "Examples:
  polychron job add acme nightly-report --type report --cron '0 2 * * *' --timezone Europe/London
  polychron job add acme ping --type http --every 15m --payload '{\"url\": \"https://…\"}'
  polychron job add acme once --type import --at 2026-12-01T09:00:00Z --payload @import.json
  polychron job add acme odd --type noop --schedule '{\"every\": \"1h\", \"jitter\": \"5m\"}'")]
    Add(Add),
    /// List a tenant's jobs, with the reason of those that are quarantined
    #[command(after_help = "Example:\n  polychron job list acme")]
    List(OfTenant),
    /// Show a job
    #[command(after_help = "Example:\n  polychron job show acme nightly-report")]
    Show(Named),
    /// Change a job; what isn't named stays as it is
    #[command(after_help = "Examples:
  polychron job edit acme ping --every 5m
  polychron job edit acme ping --timeout 90s --if-version 3")]
    Edit(Edit),
    /// Let no new occurrences of a job come; what is open goes on
    #[command(after_help = "Example:\n  polychron job pause acme ping")]
    Pause(Named),
    /// Let a paused job's occurrences come again, from now on
    #[command(after_help = "Example:\n  polychron job resume acme ping")]
    Resume(Named),
    /// Show when a job is due next, with its own spread of `H` and jitter
    #[command(after_help = "Example:\n  polychron job next acme nightly-report -n 10")]
    Next(next::Next),
    /// Say why a job runs, waits or doesn't run, and what to do about it
    #[command(after_help = "Example:\n  polychron job explain acme nightly-report")]
    Explain(Named),
    /// Run a job now, whatever its schedule says
    #[command(after_help = "Examples:
  polychron job run acme ping
  polychron job run acme import --payload @today.json --wait   # exit code 1 if it fails")]
    Run(run::Run),
    /// Delete a job and cancel what is open of it; its history stays
    #[command(after_help = "Example:\n  polychron job delete acme ping -y")]
    Delete(delete::Delete),
}

#[derive(Args)]
pub(crate) struct OfTenant {
    /// The tenant
    tenant: String,
}

#[derive(Args)]
pub(crate) struct Named {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
}

#[derive(Args)]
pub(crate) struct Add {
    /// The tenant
    tenant: String,
    /// What the job is called: 1 to 200 characters, unique within the tenant
    name: String,
    /// Chooses the handler
    #[arg(long = "type", value_name = "TYPE")]
    job_type: String,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    definition: Definition,
    /// Add it paused
    #[arg(long)]
    disabled: bool,
}

#[derive(Args)]
pub(crate) struct Edit {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
    /// Chooses the handler
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    definition: Definition,
    /// Only if the job is still at this version
    #[arg(long, value_name = "N")]
    if_version: Option<i32>,
}

const COLUMNS: &[Column<Job>] = &[
    column("NAME", |job| job.name.clone()),
    column("TYPE", |job| job.job_type.clone()),
    column("SCHEDULE", |job| timing(&job.schedule)),
    column("QUEUE", |job| job.queue.clone()),
    column("STATE", |job| state(job).to_owned()),
    column("NEXT RUN", |job| time(job.next_run_at)),
    whole_column("REASON", |job| maybe(job.quarantined_reason.as_ref())),
];

const FIELDS: &[Column<Job>] = &[
    column("name", |job| job.name.clone()),
    column("id", |job| job.id.to_string()),
    column("type", |job| job.job_type.clone()),
    column("schedule", |job| job.schedule.to_string()),
    column("state", |job| state(job).to_owned()),
    column("reason", |job| maybe(job.quarantined_reason.as_ref())),
    column("next run", |job| time(job.next_run_at)),
    column("queue", |job| job.queue.clone()),
    column("timeout", |job| {
        job.timeout_seconds.map_or("the default".to_owned(), |s| format!("{s} s"))
    }),
    column("max attempts", |job| job.max_attempts.to_string()),
    column("retry base", |job| format!("{} s", job.retry_base_seconds)),
    column("misfire", |job| {
        format!("{}, after {} s", job.misfire_policy, job.misfire_grace_seconds)
    }),
    column("overlap", |job| job.overlap_policy.to_string()),
    column("orphan", |job| job.orphan_policy.to_string()),
    column("payload", |job| job.payload.to_string()),
    column("version", |job| job.version.to_string()),
    column("created", |job| time(Some(job.created_at))),
    column("updated", |job| time(Some(job.updated_at))),
];

fn state(job: &Job) -> &'static str {
    match (job.is_enabled, &job.quarantined_reason) {
        (_, Some(_)) => "quarantined",
        (true, None) => "enabled",
        (false, None) => "paused",
    }
}

/// A schedule in short, as a list has room for it.
fn timing(schedule: &Value) -> String {
    let field = |name: &str| schedule.get(name).and_then(Value::as_str);
    match (field("cron"), field("timezone"), field("every"), field("at")) {
        (Some(cron), Some(timezone), None, None) => format!("{cron} {timezone}"),
        (Some(cron), None, None, None) => cron.to_owned(),
        (None, None, Some(every), None) => format!("every {every}"),
        (None, None, None, Some(at)) => format!("at {at}"),
        _ => schedule.to_string(),
    }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::Add(arguments) => add(arguments, session).await,
        Verb::List(OfTenant { tenant }) => list(&tenant, session).await,
        Verb::Show(Named { tenant, job }) => {
            let (tenant, store, _) = session.enter(&tenant).await?;
            session.output.record(&find(&tenant, &store, &job).await?, FIELDS)
        }
        Verb::Edit(arguments) => edit(arguments, session).await,
        Verb::Pause(Named { tenant, job }) => switch(&tenant, &job, false, session).await,
        Verb::Resume(Named { tenant, job }) => switch(&tenant, &job, true, session).await,
        Verb::Next(arguments) => next::run(arguments, session).await,
        Verb::Explain(Named { tenant, job }) => explain::run(&tenant, &job, session).await,
        Verb::Run(arguments) => run::run(arguments, session).await,
        Verb::Delete(arguments) => delete::run(arguments, session).await,
    }
}

async fn add(arguments: Add, session: &Session) -> Result<(), Failure> {
    let Add { tenant, name, job_type, timing, definition, disabled } = arguments;
    let (tenant, store, _) = session.enter(&tenant).await?;
    // The job has no id yet; whether its schedule can be read does not hang on that.
    let schedule = timing.schedule(Spread::new(tenant.id, JobId(0)))?.ok_or_else(|| {
        Failure::Usage("say when the job runs: --cron, --every, --at or --schedule".to_owned())
    })?;
    let mut job = definition.new_job(&name, &job_type, schedule)?;
    job.is_enabled = !disabled;
    let of_tenant = |error| Failure::tenant(&tenant, error);
    if store.find_job(&name).await.map_err(of_tenant)?.is_some() {
        return Err(Failure::Failed(format!(
            "NAME: tenant {} has a job `{name}` already; `polychron job edit` changes it",
            tenant.slug
        )));
    }
    store.insert_job(&job).await.map_err(of_tenant)?;
    session.wake(tenant.id).await;
    mind_suspension(&tenant);
    session.output.record(&find(&tenant, &store, &name).await?, FIELDS)
}

async fn list(tenant: &str, session: &Session) -> Result<(), Failure> {
    let (tenant, store, _) = session.enter(tenant).await?;
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let after = jobs.last().map(|job| job.name.clone()).unwrap_or_default();
        let page = store.list_jobs(&after, PAGE).await;
        let page = page.map_err(|error| Failure::tenant(&tenant, error))?;
        let full = page.len() as i64 == PAGE;
        jobs.extend(page);
        if !full {
            return session.output.list(&jobs, COLUMNS);
        }
    }
}

async fn edit(arguments: Edit, session: &Session) -> Result<(), Failure> {
    let Edit { tenant, job, job_type, timing, definition, if_version } = arguments;
    let entered = session.enter(&tenant).await?;
    let found = find(&entered.0, &entered.1, &job).await?;
    let mut edit = definition.edit()?;
    edit.job_type = job_type;
    edit.schedule = timing.schedule(Spread::new(entered.0.id, found.id))?;
    if edit == JobEdit::default() {
        return Err(Failure::Usage(
            "nothing to change; `polychron job edit --help` shows what can be".to_owned(),
        ));
    }
    change(entered, &job, if_version, &edit, session).await
}

async fn switch(tenant: &str, name: &str, on: bool, session: &Session) -> Result<(), Failure> {
    let entered = session.enter(tenant).await?;
    let job = find(&entered.0, &entered.1, name).await?;
    if job.is_enabled == on {
        say(&format!("job {name} is {} already", if on { "enabled" } else { "paused" }));
        return session.output.record(&job, FIELDS);
    }
    let edit = JobEdit { is_enabled: Some(on), ..JobEdit::default() };
    change(entered, name, None, &edit, session).await
}

/// Writes an edit, wakes the producers, and shows the job as it is now.
async fn change(
    (tenant, store, now): (Tenant, Store, Time),
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
    session: &Session,
) -> Result<(), Failure> {
    let edited = store.edit_job(name, if_version, edit, now).await;
    let edited = edited.map_err(|error| Failure::tenant(&tenant, error))?;
    let job = find(&tenant, &store, name).await?;
    if !edited {
        return Err(Failure::Failed(format!(
            "--if-version: job {name} is at version {} by now; look at it again before changing it",
            job.version
        )));
    }
    session.wake(tenant.id).await;
    session.output.record(&job, FIELDS)
}

/// A tenant's job by its name.
pub(crate) async fn find(tenant: &Tenant, store: &Store, name: &str) -> Result<Job, Failure> {
    let found = store.find_job(name).await.map_err(|error| Failure::tenant(tenant, error))?;
    let slug = &tenant.slug;
    found.ok_or_else(|| {
        Failure::NotFound(format!(
            "tenant {slug} has no job `{name}`; `polychron job list {slug}` shows those it has"
        ))
    })
}
