//! Adds imported jobs to a tenant, or shows what would be added.

use std::fmt;

use serde::Serialize;
use shared::job::Job;
use shared::store::{JobEdit, NewJob};

use super::{Entry, Import};
use crate::change::{Actor, Change};
use crate::context::{Context, TenantContext};
use crate::failure::Failure;
use crate::job;

/// One entry and what became of it.
#[derive(Serialize)]
pub struct ImportedEntry {
    /// Its place in the file.
    pub place: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, failed or was not changed.
    pub reason: Option<String>,
    /// Its text.
    pub source: String,
    /// How it was translated, a sentence each.
    pub translation: Vec<String>,
    /// The job; none if it was refused.
    pub job: Option<NewJob>,
}

impl ImportedEntry {
    /// Whether the tenant's job was added or changed.
    pub fn is_made(&self) -> bool {
        matches!(self.outcome, Outcome::Added | Outcome::Replaced)
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A dry run: the tenant has no job of this name.
    WouldAdd,
    /// A dry run: the tenant's job would be changed.
    WouldReplace,
    /// The job was added.
    Added,
    /// The tenant's job was changed.
    Replaced,
    /// The tenant has a job of this name, which was kept.
    Exists,
    /// The entry cannot be translated.
    Refused,
    /// The tenant's database failed.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::WouldAdd => "would add",
            Outcome::WouldReplace => "would replace",
            Outcome::Added => "added",
            Outcome::Replaced => "replaced",
            Outcome::Exists => "exists",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        })
    }
}

/// What to do with jobs that the tenant has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep them as they are.
    Keep,
    /// Change them to what the import states; the rest stays.
    Replace,
}

/// What would be added to a tenant without jobs.
pub fn preview(import: Import) -> Vec<ImportedEntry> {
    import.entries.into_iter().map(|entry| imported(entry, Ok(Outcome::WouldAdd))).collect()
}

/// Adds an import's jobs to a tenant, in the order of the file; a dry run only says what it would do.
/// Once the database is unreachable, the remaining entries are reported as failed without being
/// tried, so that the answer comes soon and still names them all.
pub async fn add(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    import: Import,
    existing: Existing,
) -> Vec<ImportedEntry> {
    context.put_off_waking();
    let mut done = Vec::with_capacity(import.entries.len());
    let mut unreachable: Option<String> = None;
    for entry in import.entries {
        let outcome = match (&entry.job, &unreachable) {
            (Err(_), _) => Ok(Outcome::Refused),
            (Ok(_), Some(reason)) => Err(reason.clone()),
            (Ok(job), None) => match add_one(context, actor, at, job, existing).await {
                Ok(outcome) => Ok(outcome),
                Err(failure) => {
                    let text = failure.to_string();
                    if failure.is_unreachable() {
                        unreachable =
                            Some(format!("not tried, since the database is lost: {text}"));
                    }
                    Err(text)
                }
            },
        };
        done.push(imported(entry, outcome));
    }
    context.wake_now().await;
    done
}

async fn add_one(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    new: &NewJob,
    existing: Existing,
) -> Result<Outcome, Failure> {
    let found = at.store.find_job(&new.name).await.map_err(|error| at.failed(error))?;
    match (found, existing) {
        (None, _) => job::add(context, actor, at, new).await.map(|change| match change {
            Change::Made(_) => Outcome::Added,
            Change::WouldMake(_) => Outcome::WouldAdd,
        }),
        (Some(_), Existing::Keep) => Ok(Outcome::Exists),
        (Some(found), Existing::Replace) => replace(context, actor, at, &found, new).await,
    }
}

/// Changes what an import states. Whether the job is enabled, its timeout and its retries stay as
/// people have set them since.
async fn replace(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    found: &Job,
    new: &NewJob,
) -> Result<Outcome, Failure> {
    let edit = JobEdit {
        job_type: Some(new.job_type.clone()),
        payload: Some(new.payload.clone()),
        schedule: Some(new.schedule.clone()),
        queue: Some(new.queue.clone()),
        misfire_policy: Some(new.misfire_policy),
        misfire_grace_seconds: Some(new.misfire_grace_seconds),
        overlap_policy: Some(new.overlap_policy),
        ..JobEdit::default()
    };
    let (name, version) = (&found.name, Some(found.version));
    match job::edit(context, actor, at, name, version, &edit).await {
        Ok(Change::Made(_)) => Ok(Outcome::Replaced),
        Ok(Change::WouldMake(_)) => Ok(Outcome::WouldReplace),
        // It was edited or deleted between the two statements: that edit stands.
        Err(Failure::Stale(_) | Failure::NotFound(_)) => Ok(Outcome::Exists),
        Err(failure) => Err(failure),
    }
}

fn imported(entry: Entry, outcome: Result<Outcome, String>) -> ImportedEntry {
    let Entry { place, source, mut notes, job } = entry;
    if job.is_err() {
        // How a rejected entry would have been translated does not matter.
        notes.clear();
    }
    let (outcome, reason) = match (&job, outcome) {
        (Err(reason), _) => (Outcome::Refused, Some(reason.clone())),
        (Ok(_), Err(reason)) => (Outcome::Failed, Some(reason)),
        (Ok(_), Ok(Outcome::Exists)) => {
            let reason =
                "the tenant has a job of this name, which is kept as it is; `--replace` changes it";
            (Outcome::Exists, Some(reason.to_owned()))
        }
        (Ok(_), Ok(outcome)) => (outcome, None),
    };
    ImportedEntry { place, outcome, reason, source, translation: notes, job: job.ok() }
}
