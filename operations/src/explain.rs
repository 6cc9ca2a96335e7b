//! Everything that decides whether a job runs, in the order in which the engine asks.

use std::time::Duration;

use shared::clock::Time;
use shared::execution::{Execution, Status};
use shared::job::Job;
use shared::tenant::Tenant;

use super::changes::Changes;
use super::conditions::{PATIENCE, of_open, of_pause, of_quarantine, of_the_tenant, who_executes};
use super::context::{Context, TenantContext};
use super::failure::Failure;
use super::finding::Finding;
use super::fleet::producers;
use super::format::{maybe, time};
use super::job::find;
use super::next_time;

/// How many executions are read to find the open ones.
const HISTORY: i64 = 50;

/// Says why a job runs, waits or doesn't run, and what to do about it.
pub async fn explain(
    context: &Context,
    at: &TenantContext,
    name: &str,
) -> Result<Vec<Finding>, Failure> {
    let TenantContext { tenant, store, now } = at;
    let job = find(at, name).await?;
    let summary = store.poll().await.map_err(|error| at.failed(error))?;
    let executions = store.list_runs(job.id, None, None, HISTORY).await;
    let executions = executions.map_err(|error| at.failed(error))?;
    let changes = Changes::read(context, at, name).await?;

    let mut findings =
        vec![of_the_tenant(tenant, &summary, &changes), of_switch(tenant, &job, &changes)];
    if job.is_enabled && job.quarantined_reason.is_none() {
        let deviating = next_time::of_job(tenant, store, &job).await;
        match deviating.map_err(|error| at.failed(error))? {
            Some(finding) => findings.push(finding),
            None => {
                findings.push(of_next_time(&job, now.time(), poll_interval(context).await?));
            }
        }
    }
    let open = executions.iter().filter(|execution| !execution.status.is_final());
    findings.extend(open.map(|execution| of_open(&job, execution, now.time())));
    let last = executions.iter().find(|execution| execution.status.is_final());
    findings.extend(last.map(|execution| of_last(tenant, execution)));
    findings.extend(who_executes(context, at, &job).await?);
    Ok(findings)
}

/// The longest that a change made in the tables may go unseen, as the producers report it.
async fn poll_interval(context: &Context) -> Result<Duration, Failure> {
    let producers = producers(&context.control).await?;
    let slowest = producers.iter().map(|one| one.poll_seconds.unsigned_abs()).max();
    let slowest = Duration::from_secs(slowest.unwrap_or_default().into());
    Ok(slowest.max(context.config.poll_interval))
}

fn of_switch(tenant: &Tenant, job: &Job, changes: &Changes) -> Finding {
    match (&job.quarantined_reason, job.is_enabled) {
        (Some(reason), _) => of_quarantine(&tenant.slug, &job.name, reason),
        (None, false) => of_pause(&tenant.slug, job, changes),
        (None, true) => Finding::ok("job", "enabled"),
    }
}

fn of_next_time(job: &Job, now: Time, poll_interval: Duration) -> Finding {
    let remedy = "see whether `polychron-producer` runs and what it logs about this tenant";
    match job.next_run_at {
        Some(next) if next + PATIENCE < now => {
            let finding = format!(
                "was due at {}: its queue is full, or no producer polls this tenant",
                time(Some(next))
            );
            Finding::problem("schedule", finding, remedy)
        }
        Some(next) => Finding::ok("schedule", format!("due next at {}", time(Some(next)))),
        None if job.updated_at + poll_interval + PATIENCE < now => {
            let finding = "no producer has worked out the next time since the last edit";
            Finding::problem("schedule", finding, remedy)
        }
        None => Finding::ok("schedule", "edited just now; a producer works out the next time"),
    }
}

fn of_last(tenant: &Tenant, execution: &Execution) -> Finding {
    let Execution { id, status, attempt, error_message, .. } = execution;
    let at = time(Some(execution.scheduled_for));
    match status {
        Status::Success => Finding::ok("last", format!("of {at}, attempt {attempt}: success")),
        ended => {
            let reason = maybe(error_message.as_ref());
            let finding = format!("of {at}, attempt {attempt}: {ended}: {reason}");
            let remedy = format!("`polychron execution show {} {id}`", tenant.slug);
            Finding::problem("last", finding, remedy).warning()
        }
    }
}
