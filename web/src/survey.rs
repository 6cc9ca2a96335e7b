//! A walk through all tenants, without haste and without end, that keeps in memory what the overview
//! shows: a page must not open thousands of databases. Each tenant's facts say how old they are.
//!
//! What a walk costs is bounded: a visit to a server's database takes its turn of a fixed length, one
//! to a file is followed by a rest of nine times what it took, and a file that has not changed since
//! it was last read is only looked at from outside, as long as nothing in it can have become due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::{BootTime, Clock, Time};
use shared::execution::{Status, Trigger};
use shared::store::{
    ChangeToken, DbTime, JobSummary as Asked, Quarantined, Recent, Result, Store, chain,
};
use shared::tenant::Tenant;
use tokio::sync::watch;
use tracing::warn;

use operations::context::Context;
use operations::failure::reason;
use operations::tenant::Shown;

/// How many tenants are visited at once, so that one that doesn't answer holds up few others.
const AT_ONCE: usize = 4;
/// The least that a visit to a database on a server takes: together with the above, ten of them a
/// second at most.
const VISIT_MIN: Duration = Duration::from_millis(400);
/// The same of a file, which costs nobody a session.
const FILE_VISIT_MIN: Duration = Duration::from_millis(5);
/// A visit to a file is followed by a rest of so many times what it took, up to the above.
const RESTS: u32 = 9;
/// The least that one round takes.
const ROUND_MIN: Duration = Duration::from_secs(3);
/// How many tenants are listed at once.
const PAGE: i64 = 500;
/// How much of a tenant's history one visit reads.
const RECENT_MAX: i64 = 500;
/// How far due jobs are counted.
const DUE_MAX: i64 = 1000;
/// How many quarantined jobs are named of each tenant.
const QUARANTINED_MAX: i64 = 5;
/// What the strip shows.
pub(crate) const HOURS: i64 = 24;

/// What is known of all tenants.
pub(crate) struct Survey {
    clock: Clock,
    seen: Mutex<BTreeMap<String, Seen>>,
    rounds: watch::Sender<u64>,
}

/// What is known of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) tenant: Shown,
    /// When the facts were true; none before the first visit.
    at: Option<BootTime>,
    /// How its file looked before they were read.
    change_token: Option<ChangeToken>,
    /// Why the last visit failed, if it did.
    pub(crate) problem: Option<String>,
    pub(crate) facts: Facts,
}

impl Seen {
    fn unvisited(tenant: Shown) -> Seen {
        Seen { tenant, at: None, change_token: None, problem: None, facts: Facts::default() }
    }
}

/// What a tenant's database said when it answered last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Due and not dispatched, counted to a limit.
    pub(crate) due: i64,
    pub(crate) waiting: i64,
    pub(crate) dispatched: i64,
    pub(crate) running: i64,
    /// How long the earliest due job has been due.
    pub(crate) behind: Option<TimeDelta>,
    /// When its next job is due.
    next_due_at: Option<Time>,
    /// The latest start of a scheduled occurrence within the last hour.
    pub(crate) worst_start: Option<TimeDelta>,
    /// When that was.
    worst_started_at: Option<Time>,
    /// What ended in each of the last hours, by the hour's number since 1970.
    pub(crate) hours: BTreeMap<i64, Ended>,
    /// What its enabled jobs ask of consumers.
    pub(crate) asked: Vec<Asked>,
    pub(crate) quarantined: Vec<Quarantined>,
}

/// How many executions ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Ended {
    pub(crate) success: u32,
    pub(crate) failed: u32,
    /// Cancelled or skipped.
    pub(crate) other: u32,
}

impl Survey {
    pub(crate) fn new(clock: Clock) -> Survey {
        Survey { clock, seen: Mutex::default(), rounds: watch::Sender::new(0) }
    }

    /// Everything known, by slug.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Seen>) -> T) -> T {
        read(&self.seen())
    }

    /// How old a tenant's facts are; none before its first visit.
    pub(crate) fn age(&self, seen: &Seen) -> Option<Duration> {
        seen.at.map(|at| self.clock.boot_time() - at)
    }

    /// Counts the rounds.
    pub(crate) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Walks until it is dropped.
    pub(crate) async fn run(&self, context: &Context) {
        loop {
            let begun = self.clock.boot_time();
            match self.round(context).await {
                Ok(listed) => self.seen().retain(|slug, _| listed.contains(slug)),
                Err(error) => warn!("the survey cannot list the tenants: {}", chain(&error)),
            }
            self.rounds.send_modify(|rounds| *rounds += 1);
            let took = self.clock.boot_time() - begun;
            self.clock.sleep(ROUND_MIN.saturating_sub(took)).await;
        }
    }

    async fn round(&self, context: &Context) -> Result<BTreeSet<String>> {
        let listed = self.list(context).await?;
        let mut after = String::new();
        loop {
            let tenants = context.control.page_tenants(&after, PAGE).await?;
            let Some(last) = tenants.last() else { return Ok(listed) };
            after.clone_from(&last.slug);
            let visits = stream::iter(tenants).map(|tenant| self.visit(tenant, context));
            visits.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
            context.connections.close_idle();
        }
    }

    /// Enters every tenant, so that whoever was not visited yet can be found all the same.
    async fn list(&self, context: &Context) -> Result<BTreeSet<String>> {
        let mut listed: BTreeSet<String> = BTreeSet::new();
        loop {
            let after = listed.last().cloned().unwrap_or_default();
            let tenants = context.control.page_tenants(&after, PAGE).await?;
            if tenants.is_empty() {
                return Ok(listed);
            }
            let mut seen = self.seen();
            for tenant in tenants {
                let shown = Shown::from(&tenant);
                let before = seen.get_mut(&tenant.slug);
                match before {
                    Some(seen) => seen.tenant = shown,
                    None => drop(seen.insert(tenant.slug.clone(), Seen::unvisited(shown))),
                }
                listed.insert(tenant.slug);
            }
        }
    }

    async fn visit(&self, tenant: Tenant, context: &Context) {
        let begun = self.clock.boot_time();
        let before = self.seen().get(&tenant.slug).cloned();
        let visited = match context.store(&tenant) {
            Ok(store) => see(&store, before).await,
            Err(failure) => Visited::failed(before, failure.to_string()),
        };
        let at = self.clock.boot_time();
        let took = at - begun;
        let is_file = tenant.database_url.is_sqlite();
        let Visited { change_token, problem, facts } = visited;
        let seen =
            Seen { tenant: Shown::from(&tenant), at: Some(at), change_token, problem, facts };
        self.seen().insert(tenant.slug, seen);
        // With few tenants there is no need to go slowly: the round has its own least length.
        self.clock.sleep(rest(took, is_file)).await;
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to do nothing after a visit that took so long.
fn rest(took: Duration, is_file: bool) -> Duration {
    match is_file {
        true => (took * RESTS).clamp(FILE_VISIT_MIN, VISIT_MIN),
        false => VISIT_MIN.saturating_sub(took),
    }
}

/// What came of a visit.
struct Visited {
    change_token: Option<ChangeToken>,
    problem: Option<String>,
    facts: Facts,
}

impl Visited {
    /// The facts of before are the best there are.
    fn failed(before: Option<Seen>, problem: String) -> Visited {
        let facts = before.map(|seen| seen.facts).unwrap_or_default();
        Visited { change_token: None, problem: Some(problem), facts }
    }
}

async fn see(store: &Store, before: Option<Seen>) -> Visited {
    let change_token = store.change_token().await;
    match (before, store.now().await) {
        (Some(seen), Ok(now))
            if change_token.is_some()
                && change_token == seen.change_token
                && seen.problem.is_none()
                && seen.facts.hold_at(now) =>
        {
            Visited { change_token, problem: None, facts: seen.facts }
        }
        (before, Ok(now)) => {
            let facts = before.as_ref().map(|seen| seen.facts.clone()).unwrap_or_default();
            match ask(store, &facts, now).await {
                Ok(facts) => Visited { change_token, problem: None, facts },
                Err(error) => Visited::failed(before, reason(&error)),
            }
        }
        (before, Err(error)) => Visited::failed(before, reason(&error)),
    }
}

impl Facts {
    /// Whether they are still true at `now` of a database that has not changed.
    fn hold_at(&self, now: DbTime) -> bool {
        let is_due = self.next_due_at.is_some_and(|due| due <= now);
        let is_over = self.worst_started_at.is_some_and(|at| at + TimeDelta::hours(1) <= now);
        !is_due && !is_over
    }
}

async fn ask(store: &Store, before: &Facts, now: DbTime) -> Result<Facts> {
    let look = store.poll().await?;
    let recent = store.list_recent(now - TimeDelta::hours(HOURS), RECENT_MAX).await?;
    let behind = look.next_due_at.map(|due| now - due).filter(|late| *late > TimeDelta::zero());
    let worst = worst_start(&recent, now.time());
    Ok(Facts {
        due: if behind.is_some() { store.count_due(now, DUE_MAX).await? } else { 0 },
        waiting: look.waiting,
        dispatched: look.dispatched,
        running: look.running,
        behind,
        next_due_at: look.next_due_at,
        worst_start: worst.map(|(late, _)| late),
        worst_started_at: worst.map(|(_, at)| at),
        hours: hours(&recent, &before.hours, now.time()),
        asked: store.summarize_jobs().await?,
        quarantined: store.list_quarantined(QUARANTINED_MAX).await?,
    })
}

/// How late the latest start of the last hour was, and when that was.
fn worst_start(recent: &[Recent], now: Time) -> Option<(TimeDelta, Time)> {
    let since = now - TimeDelta::hours(1);
    let scheduled = recent.iter().filter(|row| row.trigger == Trigger::Schedule);
    let starts = scheduled.filter_map(|row| Some((row.started_at?, row.scheduled_for)));
    let lately = starts.filter(|(started, _)| *started > since);
    lately.map(|(started, due)| (started - due, started)).max()
}

pub(crate) fn hour_of(time: Time) -> i64 {
    time.timestamp().div_euclid(3600)
}

/// What ended in each hour. A visit reads only so many rows; hours that they do not reach back to
/// stay as an earlier visit has counted them.
fn hours(recent: &[Recent], before: &BTreeMap<i64, Ended>, now: Time) -> BTreeMap<i64, Ended> {
    let mut counted: BTreeMap<i64, Ended> = BTreeMap::new();
    for row in recent {
        let Some(finished) = row.finished_at else { continue };
        let ended = counted.entry(hour_of(finished)).or_default();
        match row.status {
            Status::Success => ended.success += 1,
            Status::Failed => ended.failed += 1,
            _ => ended.other += 1,
        }
    }
    let is_whole = (recent.len() as i64) < RECENT_MAX;
    let total = |ended: &Ended| ended.success + ended.failed + ended.other;
    if !is_whole {
        for (hour, ended) in before {
            let known = counted.entry(*hour).or_default();
            if total(ended) > total(known) {
                *known = *ended;
            }
        }
    }
    counted.retain(|hour, _| *hour > hour_of(now) - HOURS);
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::clock::ManualClock;
    use shared::id::ExecutionId;

    fn row(status: Status, finished: Time) -> Recent {
        Recent {
            id: ExecutionId::least_at(finished),
            status,
            trigger: Trigger::Schedule,
            scheduled_for: finished - TimeDelta::seconds(9),
            started_at: Some(finished - TimeDelta::seconds(2)),
            finished_at: Some(finished),
        }
    }

    #[test]
    fn hours_that_a_visit_does_not_reach_stay_as_they_were() {
        let now: Time = "2026-11-24T12:30:00Z".parse().unwrap();
        let early = now - TimeDelta::hours(3);
        let first =
            hours(&[row(Status::Failed, early), row(Status::Success, now)], &BTreeMap::new(), now);
        assert_eq!(first[&hour_of(early)], Ended { failed: 1, ..Ended::default() });
        // Whole, and the early row was pruned.
        assert_eq!(hours(&[row(Status::Success, now)], &first, now).len(), 1);
        let full = vec![row(Status::Success, now); RECENT_MAX as usize];
        let second = hours(&full, &first, now);
        assert_eq!(second[&hour_of(early)], first[&hour_of(early)]);
        assert_eq!(second[&hour_of(now)].success, RECENT_MAX as u32);
        let next_day = now + TimeDelta::hours(HOURS - 3);
        assert!(!hours(&full, &second, next_day).contains_key(&hour_of(early)));
    }

    #[test]
    fn the_worst_start_is_that_of_the_last_hour() {
        let now: Time = "2026-11-24T12:30:00Z".parse().unwrap();
        let started = now - TimeDelta::seconds(2);
        let worst = Some((TimeDelta::seconds(7), started));
        assert_eq!(worst_start(&[row(Status::Success, now)], now), worst);
        let old = row(Status::Success, now - TimeDelta::hours(2));
        assert_eq!(worst_start(&[old], now), None);
    }

    #[test]
    fn an_unchanged_file_need_not_be_read_until_something_becomes_due_or_old() {
        let clock = ManualClock::new("2026-11-24T12:30:00Z".parse().unwrap());
        let (db_time, now) = (DbTime::shown_by(&clock), Clock::Manual(clock).wall_time());
        let facts = |next_due_at, worst_started_at| Facts {
            next_due_at,
            worst_started_at,
            ..Facts::default()
        };
        let (soon, ago) = (now + TimeDelta::seconds(1), now - TimeDelta::minutes(59));
        assert!(
            facts(None, None).hold_at(db_time) && facts(Some(soon), Some(ago)).hold_at(db_time)
        );
        assert!(!facts(Some(now), None).hold_at(db_time), "a job is due");
        assert!(!facts(None, Some(now - TimeDelta::hours(1))).hold_at(db_time), "no longer lately");
    }

    #[test]
    fn a_visit_is_followed_by_a_rest() {
        let ms = Duration::from_millis;
        assert_eq!(
            [ms(0), ms(10), ms(1000)].map(|took| rest(took, true)),
            [ms(5), ms(90), ms(400)]
        );
        assert_eq!(
            [ms(0), ms(10), ms(1000)].map(|took| rest(took, false)),
            [ms(400), ms(390), ms(0)]
        );
    }
}
