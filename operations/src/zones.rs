//! The time zone rules of the installation: which hold, and their replacement.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use shared::clock::{Clock, Time};
use shared::config::Config;
use shared::id::JobId;
use shared::installed_rules::{self, InstalledRules};
use shared::replan::{Deviation, Review};
use shared::schedule::{EarlierRules, ZoneDirectory, ZoneRules};
use shared::store::{CONTENT_BYTES_MAX, Connections, StoredZoneRules};
use shared::tenant::Tenant;

use crate::change::{Actor, Change};
use crate::context::{self, Context};
use crate::failure::{Failure, reason};
use crate::fleet::producers;

/// How long after an update the new rules begin to hold. By then every producer has read them: each does
/// every 10 s.
const HOLD_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How many sets are kept.
const KEPT: i64 = 8;
/// How many jobs of a tenant are read at a time, and how many tenants.
const PAGE: i64 = 500;
const AT_ONCE: usize = 8;
/// The most jobs that are listed.
const LISTED_MAX: usize = 1000;

/// Where new rules come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory with the layout of zoneinfo.
    Directory(PathBuf),
    /// The program.
    BuiltIn,
}

/// What an update is to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the rules come from.
    pub source: Source,
    /// Whether they may be older than those in force.
    pub allow_older: bool,
}

/// One set of rules.
#[derive(Clone, Debug, Serialize)]
pub struct Rules {
    /// The release of the time zone database.
    pub version: String,
    /// Where it came from.
    pub source: String,
    /// The SHA-256 of its content.
    pub hash: String,
    /// From when on it holds; none: from the beginning.
    pub from: Option<Time>,
    /// Until when it held; none: no other follows.
    pub until: Option<Time>,
}

/// A job whose next time changes.
#[derive(Clone, Debug, Serialize)]
pub struct MovedJob {
    /// The tenant's slug.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// Its next time by the rules in force.
    pub from: Time,
    /// Its next time by the new rules; none: its schedule is used up.
    pub to: Option<Time>,
}

/// What an update does.
#[derive(Debug, Serialize)]
pub struct Update {
    /// The rules in force until then.
    pub before: Rules,
    /// The new rules.
    pub after: Rules,
    /// The jobs whose next times change, at most a thousand.
    pub jobs: Vec<MovedJob>,
    /// How many they are.
    pub jobs_moved: usize,
    /// Zones that the directory lacks, and that stay as they are.
    pub kept: Vec<String>,
    /// Links that lead out of the directory, and were not followed.
    pub ignored: Vec<String>,
    /// Tenants whose databases could not be read, with the reason. Their jobs move all the same.
    pub unreachable: Vec<(String, String)>,
}

/// An update that has been planned.
pub struct PlannedUpdate {
    /// What it does.
    pub update: Update,
    stored: Vec<StoredZoneRules>,
}

/// Evaluates schedules by the rules of the installation that the settings name, if they name one.
/// Returns why these cannot be used.
pub async fn follow_installation(config: &Config) -> Option<String> {
    config.database_url.as_ref()?;
    let connections = Connections::new(Clock::System, 1);
    let control = context::control(config, &connections).ok()?;
    let installed = InstalledRules::default();
    installed.follow(&control).await;
    installed.problem()
}

/// The rules that hold and held, the latest first.
pub async fn show(context: &Context) -> Result<Vec<Rules>, Failure> {
    let stored = context.control.list_zone_rules().await.map_err(Failure::control)?;
    if stored.is_empty() {
        return Ok(vec![rules(ZoneRules::built_in(), None, None)]);
    }
    let next = stored.iter().skip(1).map(|set| Some(set.in_force_from)).chain([None]);
    let mut sets: Vec<Rules> = stored
        .iter()
        .zip(next)
        .map(|(set, until)| Rules {
            version: set.version.clone(),
            source: set.source.clone(),
            hash: set.hash.clone(),
            from: (set.number > 1).then_some(set.in_force_from),
            until,
        })
        .collect();
    sets.reverse();
    Ok(sets)
}

/// Plans an update: reads the rules, and which jobs they move. Nothing is changed.
///
/// # Errors
/// When the rules cannot be used, are in force already, or older than those.
pub async fn plan(context: &Context, request: &Request) -> Result<PlannedUpdate, Failure> {
    let control = &context.control;
    let current = installed_rules::read(control).await.map_err(Failure::control)?;
    let current = current.map_err(|reason| {
        let remedy = "restore the table polychron_zone_rules, or delete its rows";
        Failure::Failed(format!("the rules in force cannot be read: {reason}; {remedy}"))
    })?;
    let (new, kept, ignored) = read(&request.source, &current)?;
    if new.hash() == current.hash() {
        return Err(Failure::Conflict(format!("these rules are in force already: {new}")));
    }
    if is_older(new.version(), current.version()) && !request.allow_older {
        return Err(Failure::Conflict(format!(
            "the rules of {} are those of {}, older than the {} in force; --allow-older uses them \
             all the same",
            new.source(),
            new.version(),
            current.version()
        )));
    }
    let old = producers(control).await?.into_iter().filter(|one| one.zone_rules.is_none());
    let old: Vec<String> = old.map(|one| format!("{} on {}", one.pid, one.host)).collect();
    if !old.is_empty() {
        return Err(Failure::Conflict(format!(
            "producers of an earlier version would go on by their built-in rules: {}; replace them first",
            old.join(", ")
        )));
    }
    let now = control.now().await.map_err(Failure::control)?.time();
    let from = Time::from_timestamp((now + HOLD_AFTER).timestamp(), 0).unwrap_or(now);
    let stored = stored(context, &current, &new, from).await?;
    let earlier = EarlierRules { rules: current.clone(), until: from };
    let (before, after) = (rules(&current, None, Some(from)), rules(&new, Some(from), None));
    let moved = moved(context, Arc::new(new.after(Some(earlier)))).await?;
    let Moved { jobs, count: jobs_moved, unreachable } = moved;
    let update = Update { before, after, jobs, jobs_moved, kept, ignored, unreachable };
    Ok(PlannedUpdate { update, stored })
}

/// Replaces the rules as planned. Producers read them within 10 s and move the jobs.
///
/// # Errors
/// When another update was made meanwhile.
pub async fn update(
    context: &Context,
    actor: &Actor,
    planned: PlannedUpdate,
) -> Result<Change<Update>, Failure> {
    let PlannedUpdate { update, stored } = planned;
    let described = json!({
        "version": update.after.version,
        "source": update.after.source,
        "hash": update.after.hash,
        "from": update.after.from,
        "jobs_moved": update.jobs_moved,
        "jobs": update.jobs.iter().take(100).collect::<Vec<_>>(),
    });
    let mut change = actor.plan_for_all("zones.update").towards(described.clone());
    change.audit.before = Some(json!(update.before));
    context
        .record(change, async {
            for set in &stored {
                let inserted = context.control.insert_zone_rules(set).await;
                if !inserted.map_err(Failure::control)?.is_applied() {
                    let text =
                        "other rules were put in force meanwhile; look at `polychron zones show`";
                    return Err(Failure::Conflict(text.to_owned()));
                }
            }
            let last = stored.last().map_or(0, |set| set.number);
            let pruned = context.control.prune_zone_rules(last - KEPT + 1).await;
            pruned.map_err(Failure::control)?;
            context.follow_zone_rules().await;
            Ok((update, described))
        })
        .await
}

/// The rows to insert: the new rules and, before the first update, those that were built in until then.
async fn stored(
    context: &Context,
    current: &ZoneRules,
    new: &ZoneRules,
    from: Time,
) -> Result<Vec<StoredZoneRules>, Failure> {
    let latest = context.control.read_zone_rules().await.map_err(Failure::control)?;
    let row = |number, rules: &ZoneRules, in_force_from| StoredZoneRules {
        number,
        hash: rules.hash().to_owned(),
        version: rules.version().to_owned(),
        source: rules.source().to_owned(),
        in_force_from,
        content: rules.pack(),
    };
    let rows = match latest {
        Some(latest) => vec![row(latest.number + 1, new, from)],
        None => {
            vec![row(1, current, Time::from_timestamp(0, 0).unwrap_or(from)), row(2, new, from)]
        }
    };
    if rows.iter().any(|row| row.content.len() > CONTENT_BYTES_MAX) {
        let text = format!("the rules have more than {CONTENT_BYTES_MAX} bytes");
        return Err(Failure::Usage(text));
    }
    Ok(rows)
}

/// The new rules, the zones that stay as they are, and the links that were not followed.
fn read(
    source: &Source,
    current: &ZoneRules,
) -> Result<(ZoneRules, Vec<String>, Vec<String>), Failure> {
    match source {
        Source::BuiltIn => {
            let built_in = ZoneRules::built_in();
            let (version, source, hash) = (built_in.version(), built_in.source(), built_in.hash());
            let copy = ZoneRules::unpack(version, source, hash, &built_in.pack());
            Ok((copy.map_err(Failure::Failed)?, Vec::new(), Vec::new()))
        }
        Source::Directory(path) => {
            let directory = ZoneDirectory::read(path);
            let directory =
                directory.map_err(|error| Failure::Usage(format!("--from: {error}")))?;
            let ignored = directory.ignored().to_vec();
            let (rules, kept) = directory.complete(current);
            Ok((rules, kept, ignored))
        }
    }
}

/// Whether a release is older than another. Releases are named by year and letter, so they sort as text.
fn is_older(version: &str, than: &str) -> bool {
    let is_release = |version: &str| {
        version.len() >= 5 && version[..4].bytes().all(|byte| byte.is_ascii_digit())
    };
    is_release(version) && is_release(than) && version < than
}

fn rules(rules: &ZoneRules, from: Option<Time>, until: Option<Time>) -> Rules {
    Rules {
        version: rules.version().to_owned(),
        source: rules.source().to_owned(),
        hash: rules.hash().to_owned(),
        from,
        until,
    }
}

#[derive(Default)]
struct Moved {
    jobs: Vec<MovedJob>,
    count: usize,
    unreachable: Vec<(String, String)>,
}

/// The jobs that new rules move.
async fn moved(context: &Context, rules: Arc<ZoneRules>) -> Result<Moved, Failure> {
    let tenants = context.control.list_tenants().await.map_err(Failure::control)?;
    let ask = |tenant: Tenant| {
        let rules = rules.clone();
        async move {
            let moved = moved_of(context, &tenant, rules).await;
            (tenant.slug, moved)
        }
    };
    let mut answers = stream::iter(tenants).map(ask).buffered(AT_ONCE);
    let mut moved = Moved::default();
    while let Some((slug, answer)) = answers.next().await {
        match answer {
            Ok((jobs, count)) => {
                let room = LISTED_MAX - moved.jobs.len();
                moved.jobs.extend(jobs.into_iter().take(room));
                moved.count += count;
            }
            Err(reason) => moved.unreachable.push((slug, reason)),
        }
    }
    Ok(moved)
}

async fn moved_of(
    context: &Context,
    tenant: &Tenant,
    rules: Arc<ZoneRules>,
) -> Result<(Vec<MovedJob>, usize), String> {
    let store = context.store(tenant).map_err(|failure| failure.to_string())?;
    let now = store.now().await.map_err(|error| reason(&error))?;
    let review = Review { tenant: tenant.id, store: &store, now, rules };
    let (mut jobs, mut count, mut after) = (Vec::new(), 0, JobId(0));
    loop {
        let page = store.read_planned(after, review.planned_after(), PAGE).await;
        let page = page.map_err(|error| reason(&error))?;
        for job in &page {
            let deviation = review.examine(job).await.map_err(|error| reason(&error))?;
            if let Some(Deviation::EarlierRules { instead: to }) = deviation {
                count += 1;
                if jobs.len() < LISTED_MAX {
                    let (tenant, name) = (tenant.slug.clone(), job.name.clone());
                    jobs.push(MovedJob { tenant, job: name, from: job.next_run_at, to });
                }
            }
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = last.id,
            _ => return Ok((jobs, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_sort_and_other_names_do_not() {
        assert!(is_older("2025b", "2026f"));
        assert!(!is_older("2026f", "2026f"));
        assert!(!is_older("2027a", "2026f"));
        assert!(!is_older("unknown", "2026f"));
        assert!(!is_older("2025b", "unknown"));
    }
}
