//! All occurrences of one job against its schedule: each that is planned has its row or is stood
//! for by a later one, and none ran that isn't planned.

use chrono::TimeDelta;
use shared::clock::Time;
use shared::execution::{Execution, Trigger};
use shared::id::TenantId;
use shared::job::Job;
use shared::schedule::{Schedule, Spread};

use crate::{Rule, Scope, Violation};

const TICK: TimeDelta = TimeDelta::microseconds(1);

/// The account of one job, fed with the first attempts at its occurrences in their order.
pub(crate) struct Account {
    job: Job,
    schedule: Schedule,
    /// Whether the schedule is a single instant, which counts even when it was past.
    single: bool,
    /// Since when the present schedule counts.
    since: Time,
    /// Up to here all is accounted for.
    until: Time,
    /// What was before the scope is not known, so that the first row may stand for more.
    unknown_before: bool,
}

impl Account {
    /// None for a job whose occurrences nobody can tell: it is not armed, or in quarantine.
    pub(crate) fn open(tenant: TenantId, job: &Job, scope: &Scope) -> Option<Account> {
        let since = job.schedule_since?;
        if job.quarantined_reason.is_some() {
            return None;
        }
        let text = job.schedule.to_string();
        let schedule = Schedule::read(&text, Spread::new(tenant, job.id)).ok()?;
        let unknown_before = scope.from > since;
        let until = if unknown_before { scope.from - TICK } else { since };
        let single = job.schedule.get("at").is_some();
        Some(Account { job: job.clone(), schedule, single, since, until, unknown_before })
    }

    /// Takes an occurrence in.
    pub(crate) fn enter(&mut self, row: &Execution) -> Option<Violation> {
        let at = row.scheduled_for;
        if row.trigger != Trigger::Schedule || (at <= self.since && !self.single) {
            return None; // asked for, or of the schedule before
        }
        if self.single {
            return self.enter_single(row);
        }
        let wrong = |what: String| Some(Violation::new(Rule::Accounted, row.job_id, what, &[row]));
        if self.schedule.latest(self.until, at) != Some(at) {
            return wrong("the schedule has no such occurrence".into());
        }
        let count = self.schedule.count(self.until, at);
        let stands_for = u64::try_from(row.stands_for).unwrap_or_default();
        let first = std::mem::take(&mut self.unknown_before);
        let from = std::mem::replace(&mut self.until, at);
        if stands_for == count || (first && stands_for > count) {
            return None;
        }
        let from = from.format("%FT%TZ");
        wrong(format!("it stands for {stands_for}, but after {from} there were {count}"))
    }

    fn enter_single(&mut self, row: &Execution) -> Option<Violation> {
        let only = self.schedule.latest(Time::MIN_UTC, row.scheduled_for);
        self.until = self.until.max(row.scheduled_for);
        // An earlier definition may have had another instant.
        (only != Some(row.scheduled_for) && row.scheduled_for > self.since).then(|| {
            Violation::new(
                Rule::Accounted,
                row.job_id,
                "the schedule has no such occurrence",
                &[row],
            )
        })
    }

    /// After the last one: is the job's next time the one after it, and has it been seen?
    pub(crate) fn close(self, scope: &Scope) -> Option<Violation> {
        if scope.to.is_some() || self.single {
            return self.overdue(scope);
        }
        let expected = self.schedule.next_after(self.until);
        let next = self.job.next_run_at;
        let wrong = |what: String| Some(Violation::new(Rule::Accounted, self.job.id, what, &[]));
        let shown = |time: Option<Time>| {
            time.map_or("none".into(), |time| time.format("%FT%TZ").to_string())
        };
        match (next, expected) {
            _ if next == expected => self.overdue(scope),
            // What came before the scope may stand for what comes first in it.
            (Some(next), Some(_))
                if self.unknown_before && self.schedule.count(self.until, next - TICK) == 0 =>
            {
                self.overdue(scope)
            }
            _ => wrong(format!(
                "its next_run_at is {}, but after {} comes {}",
                shown(next),
                shown(Some(self.until)),
                shown(expected)
            )),
        }
    }

    fn overdue(&self, scope: &Scope) -> Option<Violation> {
        let next = self.job.next_run_at.filter(|_| self.job.is_enabled)?;
        (next < scope.now - scope.unseen).then(|| {
            let what = format!("it was due at {}, and nobody has seen it", next.format("%FT%TZ"));
            Violation::new(Rule::Finished, self.job.id, what, &[])
        })
    }
}
