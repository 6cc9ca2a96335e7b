//! What can be done with a tenant's jobs.

use serde_json::{Map, Value, json};
use shared::clock::Time;
use shared::id::ExecutionId;
use shared::job::Job;
use shared::schedule::{Schedule, Spread};
use shared::store::{JobEdit, NewJob};

use super::schedule;
use crate::exit::Failure;
use crate::operator::{Asker, Entered, Operator};

/// A tenant's job by its name.
pub(crate) async fn find(at: &Entered, name: &str) -> Result<Job, Failure> {
    let found = at.store.find_job(name).await.map_err(|error| at.failed(error))?;
    let slug = &at.tenant.slug;
    found.ok_or_else(|| {
        Failure::NotFound(format!(
            "tenant {slug} has no job `{name}`; `polychron job list {slug}` shows those it has"
        ))
    })
}

/// Jobs by name, a page of those after `after`.
pub(crate) async fn page(at: &Entered, after: &str, limit: i64) -> Result<Vec<Job>, Failure> {
    at.store.list_jobs(after, limit).await.map_err(|error| at.failed(error))
}

/// A job's schedule, with its own spread of `H` and jitter.
pub(crate) fn schedule_of(at: &Entered, job: &Job) -> Result<Schedule, Failure> {
    let read = schedule::read(&job.schedule.to_string(), Spread::new(at.tenant.id, job.id));
    // It stands in the table, so it is not the asker's fault.
    read.map_err(|failure| Failure::Conflict(failure.to_string()))
}

/// When a job is due next: what the producer has worked out comes first, even when it is late.
pub(crate) fn next_time(at: &Entered, job: &Job, schedule: &Schedule) -> Option<Time> {
    job.next_run_at.or_else(|| schedule.first_after(at.now))
}

/// Adds a job, whose schedule must have been read.
pub(crate) async fn add(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    new: &NewJob,
) -> Result<Job, Failure> {
    let job = insert(operator, asker, at, new).await?;
    operator.wake(at.tenant.id).await;
    Ok(job)
}

/// The same; the producers are told later, of many changes at once.
pub(crate) async fn insert(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    new: &NewJob,
) -> Result<Job, Failure> {
    let name = &new.name;
    if at.store.find_job(name).await.map_err(|error| at.failed(error))?.is_some() {
        return Err(Failure::Conflict(format!(
            "NAME: tenant {} has a job `{name}` already; `polychron job edit` changes it",
            at.tenant.slug
        )));
    }
    let change = asker.change("job.add", &at.tenant, Some(name.clone()), None).towards(json!(new));
    let add = async {
        at.store.insert_job(new).await.map_err(|error| at.failed(error))?;
        let job = find(at, name).await?;
        let facts = facts(&job);
        Ok((job, facts))
    };
    operator.record(change, add).await
}

/// Changes a job, if its version is still `if_version`.
pub(crate) async fn edit(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
) -> Result<Job, Failure> {
    let job = write(operator, asker, at, name, if_version, edit).await?;
    operator.wake(at.tenant.id).await;
    Ok(job)
}

/// The same; the producers are told later, of many changes at once.
pub(crate) async fn write(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
) -> Result<Job, Failure> {
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
    let old = Some(facts_of(&before, &named));
    let change = asker.change(action, &at.tenant, Some(name.to_owned()), old);
    let change = change.towards(json!(edit));
    let change_it = async {
        let edited = at.store.edit_job(name, if_version, edit, at.now).await;
        let edited = edited.map_err(|error| at.failed(error))?;
        let job = find(at, name).await?;
        if !edited {
            return Err(stale(&job));
        }
        let mut facts = facts_of(&job, &named);
        for (field, is_other) in
            [("payload", job.payload != before.payload), ("notify", job.notify != before.notify)]
        {
            // That it is another one now is no secret.
            if is_other && facts.get(field).is_some() {
                facts[field] = "(another, not recorded)".into();
            }
        }
        Ok((job, facts))
    };
    operator.record(change, change_it).await
}

fn stale(job: &Job) -> Failure {
    let Job { name, version, .. } = job;
    Failure::Stale(format!(
        "job {name} is at version {version} by now; look at it again before changing it"
    ))
}

/// Lets a job's occurrences come, or no more. None: it is as it should be already.
pub(crate) async fn switch(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    name: &str,
    on: bool,
) -> Result<Option<Job>, Failure> {
    if find(at, name).await?.is_enabled == on {
        return Ok(None);
    }
    let switched = JobEdit { is_enabled: Some(on), ..JobEdit::default() };
    edit(operator, asker, at, name, None, &switched).await.map(Some)
}

/// Asks for a manual run, with a payload of its own if one is given.
pub(crate) async fn run(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    name: &str,
    payload: Option<&Value>,
) -> Result<ExecutionId, Failure> {
    let job = find(at, name).await?;
    let id = ExecutionId::new(at.now, &operator.random);
    let change = asker.change("job.run", &at.tenant, Some(name.to_owned()), None);
    let change = change.towards(json!({"payload": payload.unwrap_or(&job.payload)}));
    let run = async {
        let asked = at.store.run_job(name, id, payload, at.now).await;
        match asked.map_err(|error| at.failed(error))? {
            true => Ok((id, json!({"execution": id}))),
            false => {
                find(at, name).await?;
                Err(Failure::Conflict(format!("job {name} was being changed; try again")))
            }
        }
    };
    operator.record(change, run).await?;
    operator.wake(at.tenant.id).await;
    Ok(id)
}

/// Deletes a job and cancels what is open of it; its history stays.
pub(crate) async fn delete(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    job: &Job,
) -> Result<(), Failure> {
    let name = &job.name;
    let change = asker.change("job.delete", &at.tenant, Some(name.clone()), Some(facts(job)));
    let change = change.towards(json!({"deleted": true}));
    let delete = async {
        match at.store.delete_job(job.id).await.map_err(|error| at.failed(error))? {
            true => Ok(((), json!({"deleted": true}))),
            false => Err(Failure::NotFound(format!("job {name} was deleted meanwhile"))),
        }
    };
    operator.record(change, delete).await?;
    operator.wake(at.tenant.id).await;
    Ok(())
}

/// What the audit says of a whole job. Its payload stays in the tenant's own database.
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
            // They may hold what only the tenant should know.
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
