//! What became of one planned time of a job: its executions, or why it has none.

mod missing;

use chrono::TimeDelta;
use shared::clock::Time;
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::job::Job;
use shared::schedule::Schedule;
use shared::store::{Audit, AuditFilter};

use super::changes::{Changes, describe};
use super::conditions::{of_open, of_quarantine, of_the_tenant, who_executes};
use super::context::{Context, TenantContext};
use super::failure::Failure;
use super::finding::Finding;
use super::format::{maybe, time};
use super::job::{find, schedule_of};
use super::schedule::{is_planned, just_before};
use missing::MissingOccurrence;

/// How many rows from that time on are read.
const ROWS_MAX: i64 = 200;
/// How many runs before a skipped one are read to find the one that was open.
const RUNS_MAX: i64 = 20;

/// Says what became of the occurrence at `requested`: its attempts, the run that stood for it, or why
/// there is none.
pub async fn report(
    context: &Context,
    at: &TenantContext,
    name: &str,
    requested: Time,
) -> Result<Vec<Finding>, Failure> {
    let job = find(at, name).await?;
    let rows = rows_from(at, &job, requested).await?;
    let changes = Changes::read(context, at, name).await?;
    let first = rows.iter().find(|row| row.trigger == Trigger::Schedule);
    if let Some(first) = first.filter(|first| first.scheduled_for == requested) {
        return of_occurrence(context, at, &job, (requested, first), &rows, &changes).await;
    }
    if let Some(reason) = &job.quarantined_reason {
        return Ok(vec![of_quarantine(&at.tenant.slug, &job.name, reason)]);
    }
    let schedule = schedule_of(at, &job)?;
    if let Some(first) = first.filter(|first| stands_for(first, &schedule, requested)) {
        let finding = format!(
            "{} stood for by the occurrence of {}, which stands for {} in all: they were first seen too late (misfire), or while a run was open (overlap)",
            time(Some(requested)),
            time(Some(first.scheduled_for)),
            first.stands_for
        );
        let attempts =
            of_occurrence(context, at, &job, (requested, first), &rows, &changes).await?;
        return Ok([vec![Finding::ok("occurrence", finding)], attempts].concat());
    }
    MissingOccurrence { at, job: &job, schedule: &schedule, changes: &changes, requested }
        .why(context)
        .await
}

/// The executions of the job's planned times from `from` on, retries included, the earliest first.
pub async fn rows_from(
    at: &TenantContext,
    job: &Job,
    from: Time,
) -> Result<Vec<Execution>, Failure> {
    let listed = at.store.list_from(job.id, from, ROWS_MAX).await;
    let mut rows = listed.map_err(|error| at.failed(error))?;
    // Manual runs have times of their own, and stand for no planned one.
    rows.retain(|row| row.trigger != Trigger::Manual);
    Ok(rows)
}

/// Whether a row stands for an earlier occurrence, too.
pub fn stands_for(row: &Execution, schedule: &Schedule, requested: Time) -> bool {
    let between = schedule.count(just_before(requested), row.scheduled_for);
    is_planned(schedule, requested) && row.stands_for > 1 && between <= row.stands_for as u64
}

/// Every attempt at an occurrence, and which changes or other runs affected it.
async fn of_occurrence(
    context: &Context,
    at: &TenantContext,
    job: &Job,
    (requested, first): (Time, &Execution),
    rows: &[Execution],
    changes: &Changes,
) -> Result<Vec<Finding>, Failure> {
    let slug = &at.tenant.slug;
    let mut findings = Vec::new();
    for row in rows.iter().filter(|row| row.scheduled_for == first.scheduled_for) {
        let cause = cause(context, at, row).await?;
        findings.push(of_attempt(slug, job, row, &cause));
        if !row.status.is_final() {
            findings.push(of_open(job, row, at.now.time()));
            let summary = at.store.poll().await.map_err(|error| at.failed(error))?;
            findings.push(of_the_tenant(&at.tenant, &summary, changes));
            findings.extend(who_executes(context, at, job).await?);
        }
    }
    let seen = first.dispatched_at.or(first.finished_at).unwrap_or(at.now.time());
    findings.extend(suspended(changes, requested, seen));
    Ok(findings)
}

/// That the tenant was suspended at a time, and resumed before another.
fn suspended(changes: &Changes, time: Time, seen: Time) -> Option<Finding> {
    let is_switch = |change: &Audit| ["tenant.suspend", "tenant.resume"].contains(&&*change.action);
    let resumed = changes.first_after(time, is_switch)?;
    let suspended = changes.last_until(just_before(resumed.at), is_switch)?;
    let was_so = resumed.action == "tenant.resume" && suspended.action == "tenant.suspend";
    let finding =
        format!("it was suspended {}, and resumed {}", describe(suspended), describe(resumed));
    (was_so && resumed.at <= seen).then(|| Finding::ok("tenant", finding))
}

/// Who or what ended an execution or kept it from running, as far as other rows and the audit know.
async fn cause(context: &Context, at: &TenantContext, row: &Execution) -> Result<String, Failure> {
    match (row.status, row.error_kind) {
        (Status::Skipped, Some(ErrorKind::Overlap)) => {
            let runs = at.store.list_runs(row.job_id, Some(row.id), None, RUNS_MAX).await;
            let runs = runs.map_err(|error| at.failed(error))?;
            let seen = row.finished_at.unwrap_or(row.scheduled_for);
            let was_open = |run: &&Execution| {
                run.status != Status::Skipped && run.finished_at.is_none_or(|at| at >= seen)
            };
            Ok(runs.iter().find(was_open).map_or(String::new(), |run| {
                let until = run.finished_at.map_or("now".to_owned(), |at| time(Some(at)));
                match run.started_at {
                    Some(started) => format!(
                        "; that was {}, which ran from {} until {until}",
                        run.id,
                        time(Some(started))
                    ),
                    None => format!("; that was {}, which has not started", run.id),
                }
            }))
        }
        (Status::Cancelled, Some(ErrorKind::Cancelled)) => {
            let (tenant, target) = (Some(at.tenant.slug.clone()), Some(row.id.to_string()));
            let filter = AuditFilter { before: None, tenant, target };
            let listed = context.control.list_audit(&filter, 1).await;
            let listed = listed.map_err(Failure::control)?;
            Ok(listed.first().map_or(String::new(), |change| format!(", {}", describe(change))))
        }
        _ => Ok(String::new()),
    }
}

fn of_attempt(slug: &str, job: &Job, row: &Execution, cause: &str) -> Finding {
    let subject = format!("attempt {}", row.attempt);
    let late = row.started_at.map(|started| started - row.scheduled_for);
    let started = late.map_or_else(
        || "never started".to_owned(),
        |late| format!("started {} after its time", lateness(late)),
    );
    let reason = maybe(row.error_message.as_ref());
    let finding = format!("of {}: {}, {started}", time(Some(row.scheduled_for)), row.status);
    let remedy = match (row.status, row.error_kind) {
        (Status::Success, _) => return Finding::ok(subject, finding),
        (Status::Scheduled | Status::Dispatched | Status::Running, _) => {
            return Finding::problem(subject, finding, "see below what it waits for").warning();
        }
        (Status::Skipped, Some(ErrorKind::Misfire)) => format!(
            "find out why it was seen late: no producer, a suspended tenant or an unreachable database. \
             With `polychron job edit {slug} {} --misfire run_once` it would have run late",
            job.name
        ),
        (Status::Skipped, _) => format!(
            "let one wait (`polychron job edit {slug} {} --overlap queue`), or limit the run time (`--timeout`)",
            job.name
        ),
        (Status::Failed, _) if row.attempt >= job.max_attempts => {
            format!(
                "it was the last of {} attempts: `polychron execution show {slug} {}`",
                job.max_attempts, row.id
            )
        }
        (Status::Failed | Status::Cancelled, _) => {
            format!("`polychron execution show {slug} {}`", row.id)
        }
    };
    Finding::problem(subject, format!("{finding}: {reason}{cause}"), remedy).warning()
}

/// Milliseconds up to ten seconds, else whole units.
fn lateness(late: TimeDelta) -> String {
    match late.num_seconds() {
        ..10 => format!("{} ms", late.num_milliseconds()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
