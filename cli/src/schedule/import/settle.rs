//! What becomes of the imported jobs at a tenant: shown, or made.

use std::fmt;

use serde::Serialize;
use shared::config::{Config, Problems};
use shared::job::Job;
use shared::store::{JobEdit, NewJob};
use shared::tenant::Tenant;

use super::{Entry, Terms};
use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::session::{Request, Session, mind_suspension};
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::timing;

/// One entry and what became of it.
#[derive(Serialize)]
struct Settled {
    place: String,
    outcome: Outcome,
    /// Why it is refused, failed or left alone.
    reason: Option<String>,
    source: String,
    translation: Vec<String>,
    /// None if it is refused.
    job: Option<NewJob>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    WouldAdd,
    WouldReplace,
    Added,
    Replaced,
    Exists,
    Refused,
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

const COLUMNS: &[Column<Settled>] = &[
    column("PLACE", |settled| settled.place.clone()),
    column("OUTCOME", |settled| settled.outcome.to_string()),
    column("NAME", |settled| maybe(settled.job.as_ref().map(|job| &job.name))),
    column("SOURCE", |settled| settled.source.clone()),
    column("TYPE", |settled| maybe(settled.job.as_ref().map(|job| &job.job_type))),
    whole_column("SCHEDULE", |settled| {
        maybe(settled.job.as_ref().map(|job| timing(&job.schedule)))
    }),
    column("PAYLOAD", |settled| maybe(settled.job.as_ref().map(|job| &job.payload))),
    whole_column("TRANSLATION", |settled| {
        let sentences = settled.reason.iter().chain(&settled.translation);
        sentences.map(String::as_str).collect::<Vec<_>>().join("; ")
    }),
];

pub(super) async fn run(
    entries: Vec<Entry>,
    terms: &Terms,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let settled = match &terms.tenant {
        None => entries.into_iter().map(|entry| settle(entry, Ok(Outcome::WouldAdd))).collect(),
        Some(slug) => {
            let session = Session::open(config?, output, request).await?;
            Box::pin(at_tenant(entries, slug, terms, &session)).await?
        }
    };
    output.list(&settled, COLUMNS)?;
    if !terms.apply {
        say("nothing was changed; --apply --tenant TENANT makes the jobs");
    }
    let count = |outcome| settled.iter().filter(|settled| settled.outcome == outcome).count();
    let (refused, failed) = (count(Outcome::Refused), count(Outcome::Failed));
    if refused + failed > 0 {
        let all = settled.len();
        return Err(Failure::Failed(format!(
            "{refused} of {all} entries were refused, {failed} failed; the list says why"
        )));
    }
    Ok(())
}

/// Goes through the entries in order. Once the database is out of reach, those that are left are
/// reported as failed and not tried, so that the answer comes soon and still names them all.
async fn at_tenant(
    entries: Vec<Entry>,
    slug: &str,
    terms: &Terms,
    session: &Session,
) -> Result<Vec<Settled>, Failure> {
    let at = session.context.enter(slug).await?;
    session.context.put_off_waking();
    let mut settled = Vec::with_capacity(entries.len());
    let mut lost: Option<String> = None;
    for entry in entries {
        let outcome = match (&entry.job, &lost) {
            // What `settle` has to say about it, it says by itself.
            (Err(_), _) => Ok(Outcome::Refused),
            (Ok(_), Some(lost)) => Err(lost.clone()),
            (Ok(job), None) => match outcome(&at, job, terms, session).await {
                Ok(outcome) => Ok(outcome),
                Err(failure) => {
                    let text = failure.to_string();
                    if failure.is_unreachable() {
                        lost = Some(format!("not tried, since the database is lost: {text}"));
                    }
                    Err(text)
                }
            },
        };
        settled.push(settle(entry, outcome));
    }
    if terms.apply {
        nudge(&at.tenant, &settled, session).await;
    }
    Ok(settled)
}

/// Does what the terms say with one job.
async fn outcome(
    at: &TenantContext,
    job: &NewJob,
    terms: &Terms,
    session: &Session,
) -> Result<Outcome, Failure> {
    let Session { context, actor, .. } = session;
    let found = at.store.find_job(&job.name).await.map_err(|error| at.failed(error))?;
    match (found, terms.apply) {
        (None, false) => Ok(Outcome::WouldAdd),
        (None, true) => {
            operations::job::add(context, actor, at, job).await.map(|change| match change {
                Change::Made(_) => Outcome::Added,
                Change::WouldMake(_) => Outcome::WouldAdd,
            })
        }
        (Some(_), _) if !terms.replace => Ok(Outcome::Exists),
        (Some(_), false) => Ok(Outcome::WouldReplace),
        (Some(found), true) => replace(at, &found, job, session).await,
    }
}

/// Changes what an import states. Whether the job is enabled, its timeout and its retries stay as
/// people have set them since.
async fn replace(
    at: &TenantContext,
    found: &Job,
    job: &NewJob,
    session: &Session,
) -> Result<Outcome, Failure> {
    let Session { context, actor, .. } = session;
    let edit = JobEdit {
        job_type: Some(job.job_type.clone()),
        payload: Some(job.payload.clone()),
        schedule: Some(job.schedule.clone()),
        queue: Some(job.queue.clone()),
        misfire_policy: Some(job.misfire_policy),
        misfire_grace_seconds: Some(job.misfire_grace_seconds),
        overlap_policy: Some(job.overlap_policy),
        ..JobEdit::default()
    };
    let (name, version) = (&found.name, Some(found.version));
    match operations::job::edit(context, actor, at, name, version, &edit).await {
        Ok(Change::Made(_)) => Ok(Outcome::Replaced),
        Ok(Change::WouldMake(_)) => Ok(Outcome::WouldReplace),
        // It was edited or deleted between the two statements: that edit stands.
        Err(Failure::Stale(_) | Failure::NotFound(_)) => Ok(Outcome::Exists),
        Err(failure) => Err(failure),
    }
}

fn settle(entry: Entry, outcome: Result<Outcome, String>) -> Settled {
    let Entry { place, source, mut notes, job } = entry;
    if job.is_err() {
        // What would have been done with it is of no interest.
        notes.clear();
    }
    let (outcome, reason) = match (&job, outcome) {
        (Err(reason), _) => (Outcome::Refused, Some(reason.clone())),
        (Ok(_), Err(reason)) => (Outcome::Failed, Some(reason)),
        (Ok(_), Ok(Outcome::Exists)) => {
            let reason =
                "the tenant has a job of this name, which is left as it is; `--replace` changes it";
            (Outcome::Exists, Some(reason.to_owned()))
        }
        (Ok(_), Ok(outcome)) => (outcome, None),
    };
    Settled { place, outcome, reason, source, translation: notes, job: job.ok() }
}

async fn nudge(tenant: &Tenant, settled: &[Settled], session: &Session) {
    let changed = |settled: &Settled| matches!(settled.outcome, Outcome::Added | Outcome::Replaced);
    if settled.iter().any(changed) {
        session.context.wake_now().await;
        mind_suspension(tenant);
    }
}
