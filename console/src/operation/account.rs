//! What became of one planned time of a job, from the rows.

use chrono::TimeDelta;
use shared::clock::Time;
use shared::execution::{Execution, Status, Trigger};
use shared::job::Job;
use shared::schedule::Schedule;
use shared::tenant::TenantStatus;

use super::job::{find, schedule_of};
use crate::exit::Failure;
use crate::finding::Finding;
use crate::operator::Entered;
use crate::output::{maybe, time};

/// How many rows from that time on are looked through.
const ROWS_MAX: i64 = 200;
/// The smallest step of time.
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// Says what became of the occurrence at `asked`: its attempts, the run that stood for it, or why
/// there is none.
pub(crate) async fn account_for(
    at: &Entered,
    name: &str,
    asked: Time,
) -> Result<Vec<Finding>, Failure> {
    let job = find(at, name).await?;
    let schedule = schedule_of(at, &job)?;
    let after = (job.id, asked - TICK, i32::MAX);
    let read = at.store.read_history(after, (asked, last_time()), ROWS_MAX).await;
    let mut rows = read.map_err(|error| at.failed(error))?;
    // Manual runs have times of their own and account for no other.
    rows.retain(|row| row.job_id == job.id && row.trigger != Trigger::Manual);
    let is_planned = schedule.next_after(asked - TICK) == Some(asked);
    let Some(first) = rows.iter().find(|row| row.trigger == Trigger::Schedule) else {
        return Ok(vec![of_none(at, &job, &schedule, asked, is_planned)]);
    };
    let occurrence = first.scheduled_for;
    let attempts = rows.iter().filter(|row| row.scheduled_for == occurrence);
    let attempts: Vec<Finding> = attempts.map(|row| of_attempt(&at.tenant.slug, row)).collect();
    if occurrence == asked {
        return Ok(attempts);
    }
    let stood_for = schedule.count(asked - TICK, occurrence) <= first.stands_for.max(1) as u64;
    if !is_planned || !stood_for {
        return Ok(vec![of_none(at, &job, &schedule, asked, is_planned)]);
    }
    let finding = format!(
        "{} stood for by the occurrence of {}, which accounts for {} in all",
        time(Some(asked)),
        time(Some(occurrence)),
        first.stands_for
    );
    Ok([vec![Finding::ok("occurrence", finding)], attempts].concat())
}

/// The end of the year 9999, the latest that both databases can compare.
fn last_time() -> Time {
    Time::from_timestamp(253_402_300_799, 0).unwrap_or(Time::MAX_UTC)
}

fn of_attempt(slug: &str, row: &Execution) -> Finding {
    let subject = format!("attempt {}", row.attempt);
    let late = row.started_at.map(|started| started - row.scheduled_for);
    let started = late.map_or_else(
        || "never started".to_owned(),
        |late| format!("started {} ms after its time", late.num_milliseconds()),
    );
    let reason = maybe(row.error_message.as_ref());
    let finding = format!("of {}: {}, {started}", time(Some(row.scheduled_for)), row.status);
    match row.status {
        Status::Success => Finding::ok(subject, finding),
        Status::Scheduled | Status::Dispatched | Status::Running => {
            let remedy = "`polychron job explain` without --at says what it waits for";
            Finding::problem(subject, finding, remedy).warning()
        }
        Status::Skipped => {
            let remedy = "see the job's misfire and overlap policies";
            Finding::problem(subject, format!("{finding}: {reason}"), remedy).warning()
        }
        Status::Failed | Status::Cancelled => {
            let remedy = format!("`polychron execution show {slug} {}`", row.id);
            Finding::problem(subject, format!("{finding}: {reason}"), remedy).warning()
        }
    }
}

/// Why no row accounts for the time.
fn of_none(at: &Entered, job: &Job, schedule: &Schedule, asked: Time, is_planned: bool) -> Finding {
    let (slug, name, shown) = (&at.tenant.slug, &job.name, time(Some(asked)));
    if !is_planned {
        let before = time(schedule.prev_before(asked));
        let after = time(schedule.next_after(asked));
        let finding =
            format!("the schedule doesn't name {shown}: before it {before}, after it {after}");
        return Finding::problem("schedule", finding, "ask for one of its times").warning();
    }
    if job.pruned_until.is_some_and(|until| asked <= until) {
        let until = time(job.pruned_until);
        let finding = format!("its record was removed for its age, as others up to {until} were");
        return Finding::ok(
            "history",
            format!("{finding}; POLYCHRON_KEEP says how long they stay"),
        );
    }
    if let Some(reason) = &job.quarantined_reason {
        let remedy = format!("correct its schedule: `polychron job edit {slug} {name}`");
        return Finding::problem("job", format!("quarantined: {reason}"), remedy);
    }
    if let Some(since) = job.schedule_since.filter(|since| *since > asked) {
        let since = time(Some(since));
        let finding = format!(
            "the present schedule counts from {since} on, when the job was added, edited or resumed"
        );
        return Finding::problem("job", finding, "`polychron job run` makes up for it").warning();
    }
    if !job.is_enabled {
        let remedy = format!("`polychron job resume {slug} {name}`");
        return Finding::problem("job", "not enabled: paused, or its schedule is used up", remedy);
    }
    if asked > at.now {
        return Finding::ok("schedule", format!("will be due at {shown}"));
    }
    if at.tenant.status == TenantStatus::Suspended {
        let remedy = format!("`polychron tenant resume {slug}`");
        return Finding::problem("tenant", "suspended: nothing new starts", remedy);
    }
    let remedy = "see whether `polychron-producer` runs and what it logs of this tenant";
    let finding = format!("due at {shown}, not seen yet: its queue is full, or no producer looks");
    Finding::problem("schedule", finding, remedy)
}
