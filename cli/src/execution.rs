//! `polychron execution …`: what ran, runs and waits.

mod chosen;
mod follow;
mod list;
mod run;

use clap::{Args, Subcommand};
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;

use crate::input::execution_id;
use crate::output::{Column, column, maybe, say, time};
use crate::session::Session;
use chosen::{Action, Chosen};
use operations::change::Change;
use operations::execution::{find, job_name, progress};
use operations::failure::Failure;
pub(crate) use run::report;

#[derive(Subcommand)]
pub enum Verb {
    /// List executions, the newest first
    #[command(after_help = "Examples:
  polychron execution list acme --status failed
  polychron execution list acme --job ping --limit 10 -o jsonl
  polychron execution list --all-tenants --follow -o jsonl")]
    List(list::List),
    /// Show an execution, with the full error chain, the result and the output
    #[command(
        after_help = "Example:\n  polychron execution show acme 01934b7e-0000-7000-8000-0000000000ff"
    )]
    Show(Named),
    /// Cancel an execution: at once if it hasn't started, by its worker's next heartbeat if it runs
    #[command(after_help = "Examples:
  polychron execution cancel acme 01934b7e-0000-7000-8000-0000000000ff
  polychron execution cancel acme --job ping
  polychron execution cancel --all-tenants --status running --dry-run")]
    Cancel(Chosen),
    /// Run an execution that has ended again, with the same payload
    ///
    /// Without an ID, those whose last attempt ended with --status (failed by default).
    #[command(after_help = "Examples:
  polychron execution retry acme 01934b7e-0000-7000-8000-0000000000ff --wait
  polychron execution retry acme --job ping --since 2h
  polychron execution retry --all-tenants --status failed --since 2h --dry-run")]
    Retry(Retry),
}

#[derive(Args)]
pub struct Named {
    /// The tenant
    tenant: String,
    /// The execution
    #[arg(value_parser = execution_id)]
    id: ExecutionId,
}

#[derive(Args)]
pub struct Retry {
    #[command(flatten)]
    chosen: Chosen,
    /// Wait until the run has ended, including its retries
    #[arg(long, requires = "id")]
    wait: bool,
}

/// Executions in a list.
pub(crate) const COLUMNS: &[Column<Execution>] = &[
    column("ID", |execution| execution.id.to_string()),
    column("JOB", job_name),
    column("SCHEDULED FOR", |execution| time(Some(execution.scheduled_for))),
    column("TRIGGER", |execution| execution.trigger.to_string()),
    column("ATTEMPT", |execution| execution.attempt.to_string()),
    column("STATUS", |execution| execution.status.to_string()),
    column("STARTED", |execution| time(execution.started_at)),
    column("TOOK", took),
    column("ERROR", |execution| maybe(execution.error_message.as_ref())),
];

/// One execution in full.
pub(crate) const FIELDS: &[Column<Execution>] = &[
    column("id", |execution| execution.id.to_string()),
    column("job", job_name),
    column("scheduled for", |execution| time(Some(execution.scheduled_for))),
    column("stands for", |execution| match execution.stands_for {
        1 => String::new(),
        occurrences => format!("{occurrences} occurrences"),
    }),
    column("trigger", |execution| execution.trigger.to_string()),
    column("attempt", |execution| execution.attempt.to_string()),
    column("status", |execution| execution.status.to_string()),
    column("available", |execution| time(execution.available_at)),
    column("dispatched", |execution| time(execution.dispatched_at)),
    column("published", |execution| time(execution.published_at)),
    column("started", |execution| time(execution.started_at)),
    column("finished", |execution| time(execution.finished_at)),
    column("took", took),
    column("worker", |execution| maybe(execution.worker.as_ref())),
    column("lease until", |execution| live(execution, time(execution.lease_until))),
    column("deadline", |execution| live(execution, time(execution.deadline_at))),
    column("cancel requested", |execution| match execution.cancel_requested {
        true => "yes".to_owned(),
        false => String::new(),
    }),
    column("job version", |execution| maybe(execution.job_version)),
    column("payload", |execution| maybe(execution.payload.as_ref())),
    column("error kind", |execution| maybe(execution.error_kind)),
    column("error", |execution| maybe(execution.error_message.as_ref())),
    column("detail", |execution| maybe(execution.error_detail.as_ref())),
    column("result", |execution| maybe(execution.result.as_ref())),
    column("progress", |execution| maybe(execution.progress.as_ref().map(progress))),
    column("output", |execution| maybe(execution.output.as_ref())),
];

fn took(execution: &Execution) -> String {
    match (execution.started_at, execution.finished_at) {
        (Some(started), Some(finished)) => {
            format!("{:.1}s", (finished - started).as_seconds_f64())
        }
        _ => String::new(),
    }
}

/// Leases and deadlines matter only while an execution runs.
fn live(execution: &Execution, time: String) -> String {
    if execution.status == Status::Running { time } else { String::new() }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::List(arguments) => list::run(arguments, session).await,
        Verb::Show(Named { tenant, id }) => {
            let at = session.context.enter(&tenant).await?;
            session.output.record(&find(&at, id).await?, FIELDS)
        }
        Verb::Cancel(chosen) => match (&chosen.tenant, chosen.id) {
            (Some(slug), Some(id)) => cancel(slug, id, session).await,
            _ => chosen::run(Action::Cancel, chosen, session).await,
        },
        Verb::Retry(Retry { chosen, wait }) => match (&chosen.tenant, chosen.id) {
            (Some(slug), Some(id)) => retry(slug, id, wait, session).await,
            _ => chosen::run(Action::Retry, chosen, session).await,
        },
    }
}

async fn cancel(tenant: &str, id: ExecutionId, session: &Session) -> Result<(), Failure> {
    let Session { context, actor, .. } = session;
    let at = context.enter(tenant).await?;
    let change = operations::execution::cancel(context, actor, &at, id).await?;
    if let Change::Made(execution) = &change
        && execution.status == Status::Running
    {
        say("it runs; its worker learns of it by the next heartbeat, within 15 s");
    }
    session.show_change(change, FIELDS)
}

async fn retry(
    tenant: &str,
    id: ExecutionId,
    wait: bool,
    session: &Session,
) -> Result<(), Failure> {
    let Session { context, actor, .. } = session;
    let at = context.enter(tenant).await?;
    let change = operations::execution::retry(context, actor, &at, id).await?;
    report(change, wait, &at, session).await
}
