//! Adds imported jobs to a tenant, or shows what would be added.

use std::collections::HashSet;

use shared::job::Job;
use shared::store::{JobEdit, NewJob};

use super::matching::{Match, Matching, OtherJobs};
use super::report::{ImportedEntry, Outcome, Report};
use super::{Entry, Import};
use crate::change::{Actor, Change};
use crate::context::{Context, TenantContext};
use crate::failure::Failure;
use crate::job;

/// How many of the tenant's jobs are read at once.
const PAGE: i64 = 500;
/// How many names are tried for a job whose name the tenant uses for another one.
const NAMES_MAX: u32 = 100;

/// What to do with jobs of the tenant that differ from their entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep them as they are.
    Keep,
    /// Change them to what the import states; the rest stays.
    Replace,
    /// Keep them, and add the entries as further jobs.
    AddBeside,
}

/// What would be added to a tenant without jobs.
pub fn preview(import: Import) -> Report {
    let Import { entries, remarks } = import;
    let (matches, others) = Matching::new(&entries).finish();
    let all = entries.into_iter().zip(matches);
    let reported = all.map(|(entry, matched)| {
        let outcome = match (&entry.job, &matched) {
            (Err(_), _) => Outcome::Refused,
            (Ok(_), Match::Repeated(_)) => Outcome::Repeated,
            (Ok(_), _) => Outcome::WouldAdd,
        };
        reported(entry, matched, Ok(outcome))
    });
    Report::new(reported.collect(), remarks, others)
}

/// Adds an import's jobs to a tenant, in the order of the file; a dry run only says what it would do.
/// Once the database is unreachable, the remaining entries are reported as failed without being
/// tried, so that the answer comes soon and still names them all.
///
/// # Errors
/// If the tenant's jobs cannot be read. Nothing was changed then.
pub async fn add(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    import: Import,
    existing: Existing,
) -> Result<Report, Failure> {
    let Import { mut entries, remarks } = import;
    let (matches, others) = compare(at, &entries).await?;
    let mut adding = Adding { context, actor, at, existing, names: HashSet::new() };
    context.put_off_waking();
    let mut done = Vec::with_capacity(entries.len());
    let mut unreachable: Option<String> = None;
    for (mut entry, matched) in entries.drain(..).zip(matches) {
        let outcome = match (&mut entry.job, &unreachable) {
            (Err(_), _) => Ok(Outcome::Refused),
            (Ok(_), Some(reason)) => Err(reason.clone()),
            (Ok(job), None) => adding.one(job, &matched).await.map_err(|failure| {
                let text = failure.to_string();
                if failure.is_unreachable() {
                    unreachable = Some(format!("not tried, since the database is lost: {text}"));
                }
                text
            }),
        };
        done.push(reported(entry, matched, outcome));
    }
    context.wake_now().await;
    Ok(Report::new(done, remarks, others))
}

/// Compares the entries with all jobs of the tenant.
async fn compare(
    at: &TenantContext,
    entries: &[Entry],
) -> Result<(Vec<Match>, OtherJobs), Failure> {
    let mut matching = Matching::new(entries);
    let mut after = String::new();
    loop {
        let page = job::page(at, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.name);
        page.into_iter().for_each(|job| matching.consider(job));
    }
    Ok(matching.finish())
}

struct Adding<'a> {
    context: &'a Context,
    actor: &'a Actor,
    at: &'a TenantContext,
    existing: Existing,
    /// The names that this import has given.
    names: HashSet<String>,
}

impl Adding<'_> {
    async fn one(&mut self, new: &mut NewJob, matched: &Match) -> Result<Outcome, Failure> {
        match (matched, self.existing) {
            (Match::Repeated(_), _) => Ok(Outcome::Repeated),
            (Match::Same(_), _) => Ok(Outcome::Exists),
            (Match::Differs(..), Existing::Keep) => Ok(Outcome::Differs),
            (Match::Differs(found, _), Existing::Replace) => self.replace(found, new).await,
            (Match::Differs(..), Existing::AddBeside) | (Match::New, _) => self.add(new).await,
        }
    }

    async fn add(&mut self, new: &mut NewJob) -> Result<Outcome, Failure> {
        new.name = self.free_name(&new.name).await?;
        let change = job::add(self.context, self.actor, self.at, new).await?;
        self.names.insert(new.name.clone());
        Ok(match change {
            Change::Made(_) => Outcome::Added,
            Change::WouldMake(_) => Outcome::WouldAdd,
        })
    }

    /// The name, or the first one with a number that neither the tenant nor this import has.
    async fn free_name(&self, name: &str) -> Result<String, Failure> {
        let mut free = name.to_owned();
        for number in 2..NAMES_MAX {
            let is_new = !self.names.contains(&free);
            let found = self.at.store.find_job(&free).await;
            if is_new && found.map_err(|error| self.at.failed(error))?.is_none() {
                return Ok(free);
            }
            free = format!("{name}-{number}");
        }
        let reason = format!("the tenant has more than {NAMES_MAX} jobs named `{name}-…`");
        Err(Failure::Conflict(reason))
    }

    /// Changes what an import states. Whether the job is enabled, its timeout and its retries stay as
    /// people have set them since.
    async fn replace(&self, found: &Job, new: &NewJob) -> Result<Outcome, Failure> {
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
        match job::edit(self.context, self.actor, self.at, name, version, &edit).await {
            Ok(Change::Made(_)) => Ok(Outcome::Replaced),
            Ok(Change::WouldMake(_)) => Ok(Outcome::WouldReplace),
            // It was edited or deleted since it was read: that edit stands.
            Err(Failure::Stale(_) | Failure::NotFound(_)) => Ok(Outcome::Differs),
            Err(failure) => Err(failure),
        }
    }
}

fn reported(entry: Entry, matched: Match, outcome: Result<Outcome, String>) -> ImportedEntry {
    let Entry { place, source, mut notes, job, .. } = entry;
    if job.is_err() {
        // How a rejected entry would have been translated does not matter.
        notes.clear();
    }
    let (outcome, reason) = match (&job, outcome) {
        (Err(reason), _) => (Outcome::Refused, Some(reason.clone())),
        (Ok(_), Err(reason)) => (Outcome::Failed, Some(reason)),
        (Ok(new), Ok(outcome)) => (outcome, reason(new, &matched, outcome)),
    };
    let (existing, differences) = match matched {
        Match::New | Match::Repeated(_) => (None, Vec::new()),
        Match::Same(found) => (Some(found.name), Vec::new()),
        Match::Differs(found, differences) => (Some(found.name), differences),
    };
    ImportedEntry {
        place,
        outcome,
        reason,
        source,
        translation: notes,
        existing,
        differences,
        job: job.ok(),
    }
}

fn reason(new: &NewJob, matched: &Match, outcome: Outcome) -> Option<String> {
    match (matched, outcome) {
        (Match::Repeated(place), _) => Some(format!(
            "it does the same as {place} at the same times, and would run it twice; if that is meant, add it by hand"
        )),
        (Match::Same(found), _) if found.name != new.name => {
            Some(format!("the tenant's job `{}` does the same at the same times", found.name))
        }
        (Match::Differs(found, differences), Outcome::Differs) => {
            let mut reason = format!(
                "the tenant's job `{}` differs in {}",
                found.name,
                differences.join(", ").replace('_', " ")
            );
            if differences.contains(&"schedule") {
                let (here, there) = (job::timing(&found.schedule), job::timing(&new.schedule));
                reason += &format!(" (`{here}`, and `{there}` in the file)");
            }
            reason += "; it is kept as it is: `--replace` changes it, `--beside` adds this as a further job";
            Some(reason)
        }
        _ => None,
    }
}
