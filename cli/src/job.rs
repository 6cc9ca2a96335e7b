//! `polychron job …`: a tenant's jobs.

mod add;
mod definition;
mod delete;
mod edit;
mod everywhere;
mod explain;
mod list;
mod next;
mod run;
mod switch;

use clap::Subcommand;
use shared::job::Job;

use crate::each_tenant::{Jobs, Tenants};
use crate::output::{Column, column, maybe, time, whole_column};
use crate::session::Session;
use operations::failure::Failure;
use operations::job::{Switch, find, state, timing};

#[derive(Subcommand)]
pub enum Verb {
    /// Add a job
    #[command(after_help = "Examples:
  polychron job add acme nightly-report --type report --cron '0 2 * * *' --timezone Europe/London
  polychron job add acme ping --type http --every 15m --payload '{\"url\": \"https://…\"}'
  polychron job add acme once --type import --at 2026-12-01T09:00:00Z --payload @import.json
  polychron job add acme odd --type noop --schedule '{\"every\": \"1h\", \"jitter\": \"5m\"}'
  polychron job add --all-tenants clean-up --type clean --cron 'H 3 * * *' -y")]
    Add(add::Add),
    /// List a tenant's jobs, and why any are quarantined
    #[command(after_help = "Examples:
  polychron job list acme
  polychron job list --all-tenants -o jsonl")]
    List(Tenants),
    /// Show a job
    #[command(after_help = "Examples:
  polychron job show acme nightly-report
  polychron job show --all-tenants nightly-report -o jsonl")]
    Show(Jobs),
    /// Change the named fields of a job
    #[command(after_help = "Examples:
  polychron job edit acme ping --every 5m
  polychron job edit acme ping --timeout 90s --if-version 3
  polychron job edit --all-tenants ping --queue slow --dry-run")]
    Edit(edit::Edit),
    /// Pause a job: no new occurrences, but open executions go on
    #[command(after_help = "Examples:
  polychron job pause acme ping
  polychron job pause --all-tenants ping -y")]
    Pause(switch::Arguments),
    /// Resume a paused job, from now on
    #[command(after_help = "Examples:
  polychron job resume acme ping
  polychron job resume --all-tenants ping -y")]
    Resume(switch::Arguments),
    /// Show when a job is due next, with its own spread of `H` and jitter
    #[command(after_help = "Examples:
  polychron job next acme nightly-report -n 10
  polychron job next --all-tenants nightly-report -n 1")]
    Next(next::Next),
    /// Say why a job runs, waits or doesn't run, and what to do about it
    #[command(after_help = "Examples:
  polychron job explain acme nightly-report
  polychron job explain acme nightly-report --at 2026-12-01T02:00:00Z
  polychron job explain --all-tenants nightly-report")]
    Explain(explain::Explain),
    /// Run a job now, whatever its schedule says
    #[command(after_help = "Examples:
  polychron job run acme ping
  polychron job run acme import --payload @today.json --wait   # exit code 1 if it fails
  polychron job run --all-tenants refresh -y")]
    Run(run::Run),
    /// Delete a job and cancel its open executions; its history stays
    #[command(after_help = "Examples:
  polychron job delete acme ping -y
  polychron job delete --all-tenants ping --dry-run")]
    Delete(delete::Delete),
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
    column("notify", |job| maybe(job.notify.as_ref())),
    column("failing since", |job| time(job.failing_since)),
    column("late since", |job| time(job.late_since)),
    column("payload", |job| job.payload.to_string()),
    column("version", |job| job.version.to_string()),
    column("created", |job| time(Some(job.created_at))),
    column("updated", |job| time(Some(job.updated_at))),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::Add(arguments) => add::run(arguments, session).await,
        Verb::List(tenants) => list::run(tenants, session).await,
        Verb::Show(jobs) => show(jobs, session).await,
        Verb::Edit(arguments) => Box::pin(edit::run(arguments, session)).await,
        Verb::Pause(arguments) => switch::run(arguments, Switch::Pause, session).await,
        Verb::Resume(arguments) => switch::run(arguments, Switch::Resume, session).await,
        Verb::Next(arguments) => next::run(arguments, session).await,
        Verb::Explain(arguments) => explain::run(arguments, session).await,
        Verb::Run(arguments) => run::run(arguments, session).await,
        Verb::Delete(arguments) => delete::run(arguments, session).await,
    }
}

async fn show(jobs: Jobs, session: &Session) -> Result<(), Failure> {
    let (tenant, name) = jobs.named();
    let Some(slug) = tenant else {
        let (fan_out, jobs) = everywhere::find(&name, session).await?;
        return fan_out.show(&jobs, COLUMNS).await;
    };
    let at = session.context.enter(&slug).await?;
    session.output.record(&find(&at, &name).await?, FIELDS)
}
