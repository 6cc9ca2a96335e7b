//! What can be done with a tenant's jobs.

use serde_json::{Map, Value, json};
use shared::clock::Time;
use shared::id::JobId;
use shared::job::Job;
use shared::schedule::{Patch, Schedule, Spread};
use shared::store::{Guarded, JobEdit, NewJob};

use super::change::{Actor, Change};
use super::schedule;
use super::schedule_change::{self, Edited, Meaning};
use crate::context::{Context, TenantContext};
use crate::failure::Failure;

/// A tenant's job by its name.
pub async fn find(at: &TenantContext, name: &str) -> Result<Job, Failure> {
    let found = at.store.find_job(name).await.map_err(|error| at.failed(error))?;
    let slug = &at.tenant.slug;
    found.ok_or_else(|| {
        Failure::NotFound(format!(
            "tenant {slug} has no job `{name}`; `polychron job list {slug}` lists its jobs"
        ))
    })
}

/// Jobs by name, a page of those after `after`.
pub async fn page(at: &TenantContext, after: &str, limit: i64) -> Result<Vec<Job>, Failure> {
    at.store.list_jobs(after, limit).await.map_err(|error| at.failed(error))
}

/// A job's schedule, with its own spread of `H` and jitter.
pub fn schedule_of(at: &TenantContext, job: &Job) -> Result<Schedule, Failure> {
    let read = read_schedule(at, job, &job.schedule);
    // The schedule comes from the table, so the user has made no mistake.
    read.map_err(|failure| Failure::Conflict(failure.to_string()))
}

/// A schedule that the job may get.
pub fn read_schedule(at: &TenantContext, job: &Job, text: &Value) -> Result<Schedule, Failure> {
    schedule::read(&text.to_string(), Spread::new(at.tenant.id, job.id))
}

/// Whether a job runs, in a word. The dispatch that uses a schedule up switches its job off and keeps
/// `schedule_since`, which a pause clears.
pub fn state(job: &Job) -> &'static str {
    match (job.is_enabled, &job.quarantined_reason, job.schedule_since) {
        (_, Some(_), _) => "quarantined",
        (true, None, _) => "enabled",
        (false, None, Some(_)) => "used up",
        (false, None, None) => "paused",
    }
}

/// A schedule in short, for a list.
pub fn timing(schedule: &Value) -> String {
    let field = |name: &str| schedule.get(name).and_then(Value::as_str);
    match (field("cron"), field("timezone"), field("every"), field("at")) {
        (Some(cron), Some(timezone), None, None) => format!("{cron} {timezone}"),
        (Some(cron), None, None, None) => cron.to_owned(),
        (None, None, Some(every), None) => format!("every {every}"),
        (None, None, None, Some(at)) => format!("at {at}"),
        (None, Some(timezone), None, None) if schedule.get("any").is_some() => {
            format!("{} {timezone}", timing_of_any(schedule))
        }
        (None, None, None, None) if schedule.get("any").is_some() => timing_of_any(schedule),
        _ => match (field("rrule"), field("timezone")) {
            (Some(rrule), Some(timezone)) => format!("{rrule} {timezone}"),
            (Some(rrule), None) => rrule.to_owned(),
            _ => schedule.to_string(),
        },
    }
}

fn timing_of_any(schedule: &Value) -> String {
    let members = schedule["any"].as_array().into_iter().flatten().map(timing);
    members.collect::<Vec<String>>().join(" | ")
}

/// When a job is due next: the time that the producer worked out, even if that has passed.
pub fn next_time(at: &TenantContext, job: &Job, schedule: &Schedule) -> Option<Time> {
    job.next_run_at.or_else(|| schedule.first_after(at.now.time()))
}

/// Adds a job, whose schedule must have been read.
pub async fn add(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    new: &NewJob,
) -> Result<Change<Job>, Failure> {
    let name = &new.name;
    if at.store.find_job(name).await.map_err(|error| at.failed(error))?.is_some() {
        return Err(Failure::Conflict(format!(
            "NAME: tenant {} has a job `{name}` already; `polychron job edit` changes it",
            at.tenant.slug
        )));
    }
    // The job has no id yet, which its schedule does not need to be read.
    let spread = Spread::new(at.tenant.id, JobId(0));
    schedule::check_is_to_come(&schedule::read(&new.schedule.to_string(), spread)?, at.now.time())?;
    let planned = actor.plan("job.add", &at.tenant, Some(name.clone()), None).towards(json!(new));
    let add = async {
        at.store.insert_job(new).await.map_err(|error| at.failed(error))?;
        let job = find(at, name).await?;
        let facts = facts(&job);
        Ok((job, facts))
    };
    context.record_and_wake(planned, add).await
}

/// How often an edit of a schedule starts again because of a concurrent edit of the job.
const PATCHES_MAX: u32 = 3;

/// Changes a job, if its version is still `if_version`. `edit` has no schedule: `patch` changes that,
/// and keeps what it does not name.
pub async fn patch(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    name: &str,
    if_version: Option<i32>,
    edited: &JobEdit,
    patch: Option<&Patch>,
) -> Result<Change<Edited>, Failure> {
    let Some(patch) = patch else {
        let change = edit(context, actor, at, name, if_version, edited).await?;
        return Ok(change.map(|job| Edited { job, schedule_change: None }));
    };
    let mut started = 1;
    loop {
        let found = find(at, name).await?;
        let (schedule, change) = schedule_change::apply(patch, at, &found)?;
        let whole = JobEdit { schedule: Some(schedule), ..edited.clone() };
        // The options that are kept were read in this version.
        let version = if_version.or(Some(found.version));
        match edit(context, actor, at, name, version, &whole).await {
            Err(Failure::Stale(_)) if if_version.is_none() && started < PATCHES_MAX => started += 1,
            made => {
                return Ok(made?.map(|job| Edited { job, schedule_change: Some(change) }));
            }
        }
    }
}

/// Changes a job, if its version is still `if_version`. A schedule replaces the whole one.
pub async fn edit(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
) -> Result<Change<Job>, Failure> {
    let before = find(at, name).await?;
    if if_version.is_some_and(|version| version != before.version) {
        return Err(stale(&before));
    }
    let action = match (edit, edit.is_enabled) {
        (JobEdit { schedule: None, .. }, Some(true)) => "job.resume",
        (JobEdit { schedule: None, .. }, Some(false)) => "job.pause",
        _ => "job.edit",
    };
    let named = named(edit);
    let old = with_meaning(facts_of(&before, &named), at, &before.id, &before.schedule);
    let planned = actor.plan(action, &at.tenant, Some(name.to_owned()), Some(old));
    let planned = planned.towards(match &edit.schedule {
        Some(schedule) => with_meaning(json!(edit), at, &before.id, schedule),
        None => json!(edit),
    });
    let change_it = async {
        let edited = at.store.edit_job(name, if_version, edit, at.now).await;
        let edited = edited.map_err(|error| at.failed(error))?;
        let job = find(at, name).await?;
        if edited == Guarded::NoMatch {
            return Err(stale(&job));
        }
        let facts = facts_of(&job, &named);
        let mut facts = with_meaning(facts, at, &job.id, &job.schedule);
        for (field, is_other) in
            [("payload", job.payload != before.payload), ("notify", job.notify != before.notify)]
        {
            // That it has changed need not be secret.
            if is_other && facts.get(field).is_some() {
                facts[field] = "(another, not recorded)".into();
            }
        }
        Ok((job, facts))
    };
    context.record_and_wake(planned, change_it).await
}

/// The facts with what their schedule means, if they have one that can be read.
fn with_meaning(mut facts: Value, at: &TenantContext, job: &JobId, schedule: &Value) -> Value {
    let read = || Schedule::read(&schedule.to_string(), Spread::new(at.tenant.id, *job)).ok();
    if facts.get("schedule").is_some()
        && let Some(schedule) = read()
    {
        facts["schedule_means"] = json!(Meaning::of(&schedule, at.now.time()));
    }
    facts
}

fn stale(job: &Job) -> Failure {
    let Job { name, version, .. } = job;
    Failure::Stale(format!(
        "job {name} is now at version {version}; read it again before changing it"
    ))
}

/// What to do with a job's future occurrences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// No more occurrences.
    Pause,
    /// Occurrences from now on.
    Resume,
}

impl Switch {
    /// The job's `is_enabled` afterwards.
    pub fn enables(self) -> bool {
        self == Switch::Resume
    }
}

/// Pauses or resumes a job; none if it is paused or enabled already.
pub async fn switch(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    name: &str,
    to: Switch,
) -> Result<Option<Change<Job>>, Failure> {
    if find(at, name).await?.is_enabled == to.enables() {
        return Ok(None);
    }
    let switched = JobEdit { is_enabled: Some(to.enables()), ..JobEdit::default() };
    edit(context, actor, at, name, None, &switched).await.map(Some)
}

/// Deletes a job and cancels its open executions; its history stays.
pub async fn delete(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    job: &Job,
) -> Result<Change<()>, Failure> {
    let name = &job.name;
    let planned = actor.plan("job.delete", &at.tenant, Some(name.clone()), Some(facts(job)));
    let planned = planned.towards(json!({"deleted": true}));
    let delete = async {
        match at.store.delete_job(job.id).await.map_err(|error| at.failed(error))? {
            Guarded::Applied => Ok(((), json!({"deleted": true}))),
            Guarded::NoMatch => Err(Failure::NotFound(format!("job {name} was deleted meanwhile"))),
        }
    };
    context.record_and_wake(planned, delete).await
}

/// A job as the audit records it. Its payload stays in the tenant's own database.
fn facts(job: &Job) -> Value {
    const FACTS: &[&str] = &[
        "job_type",
        "schedule",
        "is_enabled",
        "queue",
        "timeout_seconds",
        "max_attempts",
        "retry_base_seconds",
        "misfire_policy",
        "misfire_grace_seconds",
        "overlap_policy",
        "orphan_policy",
    ];
    facts_of(job, FACTS)
}

fn facts_of(job: &Job, fields: &[&str]) -> Value {
    let whole = serde_json::to_value(job).unwrap_or_default();
    let mut facts: Map<String, Value> = fields
        .iter()
        .map(|field| match *field {
            // They may contain what only the tenant may know.
            "payload" | "notify" => ((*field).to_owned(), "(not recorded)".into()),
            field => (field.to_owned(), whole[field].clone()),
        })
        .collect();
    facts.insert("version".to_owned(), job.version.into());
    Value::Object(facts)
}

/// The fields that an edit names.
fn named(edit: &JobEdit) -> Vec<&'static str> {
    let JobEdit {
        job_type,
        payload,
        schedule,
        is_enabled,
        queue,
        timeout_seconds,
        max_attempts,
        retry_base_seconds,
        misfire_policy,
        misfire_grace_seconds,
        overlap_policy,
        orphan_policy,
        notify,
    } = edit;
    let fields = [
        ("job_type", job_type.is_some()),
        ("payload", payload.is_some()),
        ("schedule", schedule.is_some()),
        ("is_enabled", is_enabled.is_some()),
        ("queue", queue.is_some()),
        ("timeout_seconds", timeout_seconds.is_some()),
        ("max_attempts", max_attempts.is_some()),
        ("retry_base_seconds", retry_base_seconds.is_some()),
        ("misfire_policy", misfire_policy.is_some()),
        ("misfire_grace_seconds", misfire_grace_seconds.is_some()),
        ("overlap_policy", overlap_policy.is_some()),
        ("orphan_policy", orphan_policy.is_some()),
        ("notify", notify.is_some()),
    ];
    fields.into_iter().filter(|(_, is_named)| *is_named).map(|(name, _)| name).collect()
}
