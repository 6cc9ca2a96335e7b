//! Everything that decides whether a job runs, in the order in which the engine asks.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::execution::{Execution, Status};
use shared::job::{Job, OverlapPolicy};
use shared::store::PollSummary;
use shared::tenant::{Tenant, TenantStatus};

use super::account::{Changes, of_pause, of_quarantine, of_suspension};
use super::fleet::producers;
use super::job::find;
use crate::check::consumers;
use crate::check::tenants::Needs;
use crate::exit::Failure;
use crate::finding::{Finding, SEEN_WITHIN};
use crate::operator::{Entered, Operator};
use crate::output::{maybe, time};

/// How many executions are looked through for those that are open.
const HISTORY: i64 = 50;
/// How late the engine may be before that is odd.
const PATIENCE: Duration = Duration::from_secs(15);

/// Says why a job runs, waits or doesn't run, and what to do about it.
pub(crate) async fn explain(
    operator: &Operator,
    at: &Entered,
    name: &str,
) -> Result<Vec<Finding>, Failure> {
    let Entered { tenant, store, now } = at;
    let job = find(at, name).await?;
    let look = store.poll().await.map_err(|error| at.failed(error))?;
    let executions = store.list_runs(job.id, None, None, HISTORY).await;
    let executions = executions.map_err(|error| at.failed(error))?;
    let changes = Changes::read(operator, at, name).await?;

    let mut findings =
        vec![of_the_tenant(tenant, &look, &changes), of_switch(tenant, &job, &changes)];
    if job.is_enabled && job.quarantined_reason.is_none() {
        findings.push(of_next_time(&job, *now, poll_interval(operator).await?));
    }
    let open = executions.iter().filter(|execution| !execution.status.is_final());
    findings.extend(open.map(|execution| of_open(&job, execution, *now)));
    let last = executions.iter().find(|execution| execution.status.is_final());
    findings.extend(last.map(|execution| of_last(tenant, execution)));
    findings.extend(who_executes(operator, at, &job).await?);
    Ok(findings)
}

/// Whether a live consumer serves the job's type and queue.
pub(super) async fn who_executes(
    operator: &Operator,
    at: &Entered,
    job: &Job,
) -> Result<Vec<Finding>, Failure> {
    let seen_since = operator.control.now().await.map_err(Failure::control)? - SEEN_WITHIN;
    let workers = operator.control.list_workers(seen_since).await.map_err(Failure::control)?;
    let mut needs = Needs::default();
    let wanted = (job.job_type.clone(), job.queue.clone());
    needs.types.insert(wanted, [at.tenant.slug.clone()].into());
    Ok(consumers::compare(&workers, &needs))
}

/// The longest that a change made in the tables may go unseen, by the producers' own word.
async fn poll_interval(operator: &Operator) -> Result<Duration, Failure> {
    let producers = producers(&operator.control).await?;
    let slowest = producers.iter().map(|one| one.poll_seconds.unsigned_abs()).max();
    let slowest = Duration::from_secs(slowest.unwrap_or_default().into());
    Ok(slowest.max(operator.config.poll_interval))
}

pub(super) fn of_the_tenant(tenant: &Tenant, look: &PollSummary, changes: &Changes) -> Finding {
    let slug = &tenant.slug;
    let at_once = look.dispatched + look.running;
    match (tenant.status, tenant.max_running) {
        (TenantStatus::Suspended, _) => of_suspension(slug, changes),
        (TenantStatus::Active, Some(most)) if at_once >= i64::from(most) => {
            let finding = format!("at its limit, max_running {most}: what is due waits");
            let remedy = format!("wait, or `polychron tenant edit {slug} --max-running N`");
            Finding::problem("tenant", finding, remedy).warning()
        }
        (TenantStatus::Active, _) => {
            Finding::ok("tenant", format!("active; dispatched or running now: {at_once}"))
        }
    }
}

fn of_switch(tenant: &Tenant, job: &Job, changes: &Changes) -> Finding {
    match (&job.quarantined_reason, job.is_enabled) {
        (Some(reason), _) => of_quarantine(&tenant.slug, &job.name, reason),
        (None, false) => of_pause(&tenant.slug, job, changes),
        (None, true) => Finding::ok("job", "enabled"),
    }
}

fn of_next_time(job: &Job, now: Time, poll_interval: Duration) -> Finding {
    let remedy = "see whether `polychron-producer` runs and what it logs of this tenant";
    match job.next_run_at {
        Some(next) if next + PATIENCE < now => {
            let finding =
                format!("was due at {}: its queue is full, or no producer looks", time(Some(next)));
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

pub(super) fn of_open(job: &Job, execution: &Execution, now: Time) -> Finding {
    let Execution { id, attempt, .. } = execution;
    let what = match (execution.status, execution.available_at) {
        (Status::Scheduled, Some(at)) => format!("waits until {}", time(Some(at))),
        (Status::Scheduled, None) => "waits for its turn".to_owned(),
        (Status::Dispatched, _) => {
            format!("waits for a consumer since {}", time(execution.dispatched_at))
        }
        _ => format!(
            "runs since {} at {}",
            time(execution.started_at),
            maybe(execution.worker.as_ref())
        ),
    };
    let meanwhile = match job.overlap_policy {
        OverlapPolicy::Skip => "; meanwhile further occurrences are skipped",
        OverlapPolicy::Queue => "; meanwhile one occurrence waits, further ones are skipped",
        OverlapPolicy::Allow => "",
    };
    let finding = format!("{id}, attempt {attempt}, {what}{meanwhile}");
    let waited = execution.dispatched_at.map_or(TimeDelta::zero(), |at| now - at);
    if execution.status == Status::Dispatched && waited > delta(PATIENCE) {
        let remedy = "see whether consumers have free slots and reach this tenant's database";
        return Finding::problem("open", finding, remedy);
    }
    Finding::ok("open", finding)
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
