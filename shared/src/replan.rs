//! Next times that are not what their schedules say, and which of them the engine may correct.
//!
//! An application may set `next_run_at` itself, and that is respected. So a time is corrected only if it is
//! certain that the engine worked it out:
//!
//! - by earlier time zone rules: it is the first time after these rules had ended that the schedule would
//!   have had by them, or the first after an occurrence by them that the engine planned too late;
//! - by a clock that was ahead: it is the schedule's next time after an occurrence that the engine planned
//!   in what is still the future, or after `schedule_since` in the future.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::clock::Time;
use crate::id::TenantId;
use crate::schedule::{EarlierRules, Schedule, Spread, ZoneRules};
use crate::store::{DbTime, PlannedJob, Result, Store};

/// Readings of one clock by two processes differ by less.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);
/// The last moment before a time.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

/// Why a next time is not the one that its schedule has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// Earlier time zone rules made it. The engine replaces it.
    EarlierRules {
        /// The time by the present rules; none: the schedule is used up.
        instead: Option<Time>,
    },
    /// The clock was ahead when it was worked out. The engine replaces it.
    WrongClock {
        /// What the clock showed.
        showed: Time,
        /// The schedule's next time.
        instead: Time,
    },
    /// Something else made it, such as an `UPDATE`. It is respected, although the schedule has an earlier
    /// time.
    Postponed {
        /// The schedule's next time.
        own: Time,
    },
}

/// Compares the next times of one tenant's jobs with their schedules.
pub struct Review<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// Its database.
    pub store: &'a Store,
    /// The database's time.
    pub now: DbTime,
    /// The rules to compare with.
    pub rules: Arc<ZoneRules>,
}

impl Review<'_> {
    /// Next times up to this one are right whatever the rules.
    pub fn planned_after(&self) -> Time {
        let mut first = self.now.time();
        let mut earlier = self.rules.earlier();
        while let Some(EarlierRules { rules, until }) = earlier {
            first = first.min(*until);
            earlier = rules.earlier();
        }
        first
    }

    /// Why a job's next time is not its schedule's; none if it is, or comes sooner.
    pub async fn examine(&self, job: &PlannedJob) -> Result<Option<Deviation>> {
        let spread = Spread::new(self.tenant, job.id);
        // A schedule that cannot be read is quarantined when it is due.
        let Ok(schedule) = Schedule::read_by(&self.rules, &job.schedule, spread) else {
            return Ok(None);
        };
        let (next, now) = (job.next_run_at, self.now.time());
        let own = schedule.next_after(now);
        if own == Some(next) {
            return Ok(None);
        }
        if let Some(instead) = self.by_earlier_rules(job, &schedule).await? {
            return Ok(Some(Deviation::EarlierRules { instead }));
        }
        // Whoever planned it may have read the clock a little later.
        let is_right_soon = schedule.next_after(now + CLOCK_TOLERANCE).is_some_and(|it| next <= it);
        let is_later = |own: &Time| now < next && *own < next && !is_right_soon;
        let Some(own) = own.filter(is_later) else { return Ok(None) };
        let by_clock = match self.planned_ahead(job, &schedule).await? {
            Some(showed) => Deviation::WrongClock { showed, instead: own },
            None => Deviation::Postponed { own },
        };
        Ok(Some(by_clock))
    }

    /// If earlier rules made a job's next time, the time by the present ones.
    async fn by_earlier_rules(
        &self,
        job: &PlannedJob,
        schedule: &Schedule,
    ) -> Result<Option<Option<Time>>> {
        let (spread, next) = (Spread::new(self.tenant, job.id), Some(job.next_run_at));
        let mut earlier = self.rules.earlier();
        while let Some(EarlierRules { rules, until }) = earlier {
            earlier = rules.earlier();
            let Ok(then) = Schedule::read_by(rules, &job.schedule, spread) else { continue };
            let mut before = Some(*until - MOMENT);
            if before.and_then(|before| then.next_after(before)) != next {
                // A producer may have read the rules too late, and gone on by the earlier ones.
                let last = self.last_planned(job, &then).await?;
                before = last.map(|(last, _)| last).filter(|last| *last >= *until);
            }
            let Some(before) = before else { continue };
            let instead = schedule.next_after(before);
            return Ok((instead != next).then_some(instead));
        }
        Ok(None)
    }

    /// The occurrence before a job's next time and when the engine planned it, if both are the
    /// schedule's and the engine did.
    async fn last_planned(
        &self,
        job: &PlannedJob,
        schedule: &Schedule,
    ) -> Result<Option<(Time, Time)>> {
        let before = schedule.prev_before(job.next_run_at);
        let Some(before) = before else { return Ok(None) };
        if schedule.next_after(before) != Some(job.next_run_at) {
            return Ok(None);
        }
        let planned_at = self.store.planned_at(job.id, before).await?;
        Ok(planned_at.map(|planned_at| (before, planned_at)))
    }

    /// What the clock showed when the engine worked out a job's next time, if that lies in the future.
    async fn planned_ahead(&self, job: &PlannedJob, schedule: &Schedule) -> Result<Option<Time>> {
        let latest = (self.now + CLOCK_TOLERANCE).time();
        let (next, since) = (job.next_run_at, job.schedule_since);
        if since > latest && schedule.first_after(since) == Some(next) {
            return Ok(Some(since));
        }
        let planned = self.last_planned(job, schedule).await?;
        Ok(planned.map(|(_, planned_at)| planned_at).filter(|planned_at| *planned_at > latest))
    }
}

impl Deviation {
    /// The next time that the engine sets instead; the outer none: it leaves the time alone.
    pub fn correction(self) -> Option<Option<Time>> {
        match self {
            Deviation::EarlierRules { instead } => Some(instead),
            Deviation::WrongClock { instead, .. } => Some(Some(instead)),
            Deviation::Postponed { .. } => None,
        }
    }
}
