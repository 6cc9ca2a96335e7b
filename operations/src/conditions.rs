//! Findings about what keeps a job from running. They explain whether a job runs now
//! ([`explain`](super::explain)) and what became of a planned time
//! ([`occurrence_report`](super::occurrence_report)).

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::execution::{Execution, Status};
use shared::job::{Job, OverlapPolicy};
use shared::store::PollSummary;
use shared::tenant::{Tenant, TenantStatus};

use super::changes::Changes;
use super::check::consumers;
use super::check::tenants::Needs;
use super::context::{Context, TenantContext};
use super::failure::Failure;
use super::finding::{Finding, SEEN_WITHIN};
use super::format::{maybe, time};

/// How late the engine may be before that is a finding.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Whether the tenant lets its jobs run.
pub(super) fn of_the_tenant(tenant: &Tenant, summary: &PollSummary, changes: &Changes) -> Finding {
    let slug = &tenant.slug;
    let at_once = summary.dispatched + summary.running;
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

/// A job that is disabled: by a user, or by the engine because its schedule is used up. The engine
/// keeps `schedule_since` then; an edit clears it.
pub(super) fn of_pause(slug: &str, job: &Job, changes: &Changes) -> Finding {
    let name = &job.name;
    if job.schedule_since.is_some() {
        let finding =
            "not enabled: its schedule is used up (its one time, or its `end`, has passed)";
        let remedy =
            format!("give it a new one: `polychron job edit {slug} {name}`, then `job resume`");
        return Finding::problem("job", finding, remedy);
    }
    let by = changes.pause().map(|pause| format!("paused {pause}"));
    let added = || changes.added_disabled().map(|added| format!("added so {added}"));
    let by = by.or_else(added);
    let by = by
        .unwrap_or_else(|| format!("switched off at {} by plain SQL", time(Some(job.updated_at))));
    let remedy = format!("`polychron job resume {slug} {name}`");
    Finding::problem("job", format!("not enabled: {by}"), remedy)
}

/// A tenant that is suspended.
pub(super) fn of_suspension(slug: &str, changes: &Changes) -> Finding {
    let by = changes.suspension().unwrap_or_else(|| "by plain SQL".to_owned());
    let remedy = format!("`polychron tenant resume {slug}`");
    Finding::problem("tenant", format!("suspended {by}: nothing new starts"), remedy)
}

/// A job whose schedule cannot be used.
pub(super) fn of_quarantine(slug: &str, name: &str, reason: &str) -> Finding {
    let remedy = format!("correct its schedule: `polychron job edit {slug} {name}`");
    Finding::problem("job", format!("quarantined, so that it does not run: {reason}"), remedy)
}

/// An execution that has not ended.
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

/// Whether a live consumer serves the job's type and queue.
pub(super) async fn who_executes(
    context: &Context,
    at: &TenantContext,
    job: &Job,
) -> Result<Vec<Finding>, Failure> {
    let seen_since = context.control.now().await.map_err(Failure::control)? - SEEN_WITHIN;
    let workers = context.control.list_workers(seen_since).await.map_err(Failure::control)?;
    let mut needs = Needs::default();
    let wanted = (job.job_type.clone(), job.queue.clone());
    needs.types.insert(wanted, [at.tenant.slug.clone()].into());
    Ok(consumers::compare(&workers, &needs))
}
