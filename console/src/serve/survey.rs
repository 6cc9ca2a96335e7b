//! A walk through all tenants, slow and without end, that keeps in memory what the overview shows:
//! a page must not open thousands of databases. Each tenant's facts say how old they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::{Clock, Time};
use shared::execution::{Status, Trigger};
use shared::store::{Quarantined, Recent, Result, Store, Survey as Asked, chain};
use shared::tenant::Tenant;
use tokio::sync::watch;
use tracing::warn;

use crate::exit::reason;
use crate::operation::tenant::Shown;
use crate::operator::Operator;

/// How many tenants are visited at once, so that one that doesn't answer holds up few others.
const AT_ONCE: usize = 4;
/// The least that one visit takes: together with the above, ten tenants a second at most.
const VISIT_MIN: Duration = Duration::from_millis(400);
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
    /// When it was visited, in boot time.
    at: Duration,
    /// Why the last visit failed, if it did.
    pub(crate) problem: Option<String>,
    pub(crate) facts: Facts,
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
    /// The latest start of a scheduled occurrence within the last hour.
    pub(crate) worst_start: Option<TimeDelta>,
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

    /// How old a tenant's facts are.
    pub(crate) fn age(&self, seen: &Seen) -> Duration {
        self.clock.boot_time().saturating_sub(seen.at)
    }

    /// Counts the rounds.
    pub(crate) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Walks until it is dropped.
    pub(crate) async fn run(&self, operator: &Operator) {
        loop {
            let begun = self.clock.boot_time();
            match self.round(operator).await {
                Ok(listed) => self.seen().retain(|slug, _| listed.contains(slug)),
                Err(error) => warn!("the survey cannot list the tenants: {}", chain(&error)),
            }
            self.rounds.send_modify(|rounds| *rounds += 1);
            let took = self.clock.boot_time().saturating_sub(begun);
            self.clock.sleep(ROUND_MIN.saturating_sub(took)).await;
        }
    }

    async fn round(&self, operator: &Operator) -> Result<BTreeSet<String>> {
        let mut listed: BTreeSet<String> = BTreeSet::new();
        loop {
            let after = listed.last().cloned().unwrap_or_default();
            let tenants = operator.control.page_tenants(&after, PAGE).await?;
            let is_last = (tenants.len() as i64) < PAGE;
            listed.extend(tenants.iter().map(|tenant| tenant.slug.clone()));
            let visits = stream::iter(tenants).map(|tenant| self.visit(tenant, operator));
            visits.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
            operator.connections.close_idle();
            if is_last {
                return Ok(listed);
            }
        }
    }

    async fn visit(&self, tenant: Tenant, operator: &Operator) {
        let begun = self.clock.boot_time();
        let before = self.seen().get(&tenant.slug).map(|seen| seen.facts.clone());
        let before = before.unwrap_or_default();
        let (problem, facts) = match operator.store(&tenant) {
            Err(failure) => (Some(failure.to_string()), before),
            Ok(store) => match ask(&store, &before).await {
                Ok(facts) => (None, facts),
                Err(error) => (Some(reason(&error)), before),
            },
        };
        let (at, shown) = (self.clock.boot_time(), Shown::from(&tenant));
        self.seen().insert(tenant.slug, Seen { tenant: shown, at, problem, facts });
        let took = at.saturating_sub(begun);
        // With few tenants there is no need to go slowly: the round has its own least length.
        self.clock.sleep(VISIT_MIN.saturating_sub(took)).await;
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(store: &Store, before: &Facts) -> Result<Facts> {
    let now = store.now().await?;
    let look = store.look().await?;
    let recent = store.list_recent(now - TimeDelta::hours(HOURS), RECENT_MAX).await?;
    let behind = look.next_due_at.map(|due| now - due).filter(|late| *late > TimeDelta::zero());
    Ok(Facts {
        due: if behind.is_some() { store.count_due(now, DUE_MAX).await? } else { 0 },
        waiting: look.waiting,
        dispatched: look.dispatched,
        running: look.running,
        behind,
        worst_start: worst_start(&recent, now),
        hours: hours(&recent, &before.hours, now),
        asked: store.survey_jobs().await?,
        quarantined: store.list_quarantined(QUARANTINED_MAX).await?,
    })
}

fn worst_start(recent: &[Recent], now: Time) -> Option<TimeDelta> {
    let since = now - TimeDelta::hours(1);
    let scheduled = recent.iter().filter(|row| row.trigger == Trigger::Schedule);
    let starts = scheduled.filter_map(|row| Some((row.started_at?, row.scheduled_for)));
    starts.filter(|(started, _)| *started > since).map(|(started, due)| started - due).max()
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
        assert_eq!(worst_start(&[row(Status::Success, now)], now), Some(TimeDelta::seconds(7)));
        let old = row(Status::Success, now - TimeDelta::hours(2));
        assert_eq!(worst_start(&[old], now), None);
    }
}
