//! A tenant's figures for the overview. Pure.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;
use shared::clock::Time;
use shared::execution::{Status, Trigger};
use shared::store::{JobSummary, PollSummary, Quarantined, Recent};

/// The most rows of a tenant's history that one visit reads.
pub(crate) const RECENT_MAX: i64 = 500;
/// How many hours of history are kept.
pub(crate) const HOURS: i64 = 24;

/// What a tenant's database said when it last answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantStats {
    /// Jobs due and not dispatched, counted up to a limit.
    pub(crate) due: i64,
    /// Occurrences that wait for their turn.
    pub(crate) waiting: i64,
    /// Executions that wait for a consumer.
    pub(crate) dispatched: i64,
    pub(crate) running: i64,
    /// How long the earliest due job has been due.
    pub(crate) behind: Option<TimeDelta>,
    /// When the next job is due.
    pub(crate) next_due_at: Option<Time>,
    /// The latest start of a scheduled occurrence within the last hour.
    pub(crate) worst_start: Option<TimeDelta>,
    /// When that was.
    pub(crate) worst_started_at: Option<Time>,
    /// What ended in each of the last hours, by the hour's number since 1970.
    pub(crate) hours: BTreeMap<i64, OutcomeCounts>,
    /// What the enabled jobs need of consumers.
    pub(crate) jobs: Vec<JobSummary>,
    pub(crate) quarantined: Vec<Quarantined>,
}

/// How many executions ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct OutcomeCounts {
    pub(crate) success: u32,
    pub(crate) failed: u32,
    /// Cancelled or skipped.
    pub(crate) other: u32,
}

/// What a visit read, besides what it counted.
pub(crate) struct Visited {
    pub(crate) poll: PollSummary,
    /// The newest executions, at most [`RECENT_MAX`].
    pub(crate) recent: Vec<Recent>,
    pub(crate) jobs: Vec<JobSummary>,
    pub(crate) quarantined: Vec<Quarantined>,
}

impl TenantStats {
    /// Of what was read at `now`, with the jobs `due` then. Hours that the rows don't reach back to
    /// stay as `before` had them.
    pub(crate) fn new(visited: Visited, due: i64, before: &TenantStats, now: Time) -> TenantStats {
        let Visited { poll, recent, jobs, quarantined } = visited;
        let worst = worst_start(&recent, now);
        TenantStats {
            due,
            waiting: poll.waiting,
            dispatched: poll.dispatched,
            running: poll.running,
            behind: behind(&poll, now),
            next_due_at: poll.next_due_at,
            worst_start: worst.map(|(late, _)| late),
            worst_started_at: worst.map(|(_, at)| at),
            hours: hours(&recent, &before.hours, now),
            jobs,
            quarantined,
        }
    }

    /// Whether they still hold at `now`, if the database has not changed since.
    pub(crate) fn hold_at(&self, now: Time) -> bool {
        let is_due = self.next_due_at.is_some_and(|due| due <= now);
        let is_old = self.worst_started_at.is_some_and(|at| at + TimeDelta::hours(1) <= now);
        !is_due && !is_old
    }
}

/// How long the earliest due job has been due; none if none is.
pub(crate) fn behind(poll: &PollSummary, now: Time) -> Option<TimeDelta> {
    poll.next_due_at.map(|due| now - due).filter(|late| *late > TimeDelta::zero())
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

/// What ended in each hour. A visit reads a limited number of rows; hours that they don't reach back
/// to stay as an earlier visit counted them.
fn hours(
    recent: &[Recent],
    before: &BTreeMap<i64, OutcomeCounts>,
    now: Time,
) -> BTreeMap<i64, OutcomeCounts> {
    let mut counted: BTreeMap<i64, OutcomeCounts> = BTreeMap::new();
    for row in recent {
        let Some(finished) = row.finished_at else { continue };
        let counts = counted.entry(hour_of(finished)).or_default();
        match row.status {
            Status::Success => counts.success += 1,
            Status::Failed => counts.failed += 1,
            _ => counts.other += 1,
        }
    }
    let is_whole = (recent.len() as i64) < RECENT_MAX;
    let total = |counts: &OutcomeCounts| counts.success + counts.failed + counts.other;
    if !is_whole {
        for (hour, counts) in before {
            let known = counted.entry(*hour).or_default();
            if total(counts) > total(known) {
                *known = *counts;
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
        assert_eq!(first[&hour_of(early)], OutcomeCounts { failed: 1, ..OutcomeCounts::default() });
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
        let now: Time = "2026-11-24T12:30:00Z".parse().unwrap();
        let stats = |next_due_at, worst_started_at| TenantStats {
            next_due_at,
            worst_started_at,
            ..TenantStats::default()
        };
        let (soon, ago) = (now + TimeDelta::seconds(1), now - TimeDelta::minutes(59));
        assert!(stats(None, None).hold_at(now) && stats(Some(soon), Some(ago)).hold_at(now));
        assert!(!stats(Some(now), None).hold_at(now), "a job is due");
        assert!(!stats(None, Some(now - TimeDelta::hours(1))).hold_at(now), "no longer lately");
    }
}
