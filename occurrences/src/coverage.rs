//! All occurrences of one job against its schedule: every planned one has its row or is stood for
//! by a later row, and nothing ran that was not planned.

use chrono::TimeDelta;
use shared::clock::Time;
use shared::execution::{Execution, Trigger};
use shared::id::TenantId;
use shared::job::Job;
use shared::schedule::{Schedule, Spread};

use crate::{Rule, Scope, Violation};

/// The resolution of the databases' times.
const MICROSECOND: TimeDelta = TimeDelta::microseconds(1);

/// Compares one job's rows with its schedule. Takes the first attempt of each occurrence, in the
/// order of their planned times.
pub(crate) struct Coverage {
    job: Job,
    schedule: Schedule,
    /// The schedule is one instant, which runs even when it was past at the time of the edit.
    single: bool,
    /// The present schedule applies after this time.
    since: Time,
    /// Every occurrence up to this time is accounted for.
    until: Time,
    /// Occurrences before the scope are unknown, and the first row may stand for some of them.
    unknown_before: bool,
}

impl Coverage {
    /// `None` if the job's occurrences cannot be computed: it is not armed, or quarantined.
    pub(crate) fn new(tenant: TenantId, job: &Job, scope: &Scope) -> Option<Coverage> {
        let since = job.schedule_since?;
        if job.quarantined_reason.is_some() {
            return None;
        }
        // Pruned occurrences are unknown, even if some of their rows are left.
        let known_from =
            job.pruned_until.map_or(scope.from, |until| scope.from.max(until + MICROSECOND));
        let text = job.schedule.to_string();
        let schedule = Schedule::read(&text, Spread::new(tenant, job.id)).ok()?;
        let unknown_before = known_from > since;
        let until = if unknown_before { known_from - MICROSECOND } else { since };
        let since = since.max(until);
        let single = job.schedule.get("at").is_some();
        Some(Coverage { job: job.clone(), schedule, single, since, until, unknown_before })
    }

    /// Takes the next occurrence's first attempt.
    pub(crate) fn add(&mut self, row: &Execution) -> Option<Violation> {
        let at = row.scheduled_for;
        if row.trigger != Trigger::Schedule || (at <= self.since && !self.single) {
            return None; // a manual run, or planned by an earlier schedule
        }
        if self.single {
            return self.add_single(row);
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

    fn add_single(&mut self, row: &Execution) -> Option<Violation> {
        let only = self.schedule.latest(Time::MIN, row.scheduled_for);
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

    /// After the last row: is `next_run_at` the next planned time, and was it dispatched in time?
    pub(crate) fn finish(self, scope: &Scope) -> Option<Violation> {
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
            // A row from before the scope may stand for the first occurrences within it.
            (Some(next), Some(_))
                if self.unknown_before
                    && self.schedule.count(self.until, next - MICROSECOND) == 0 =>
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
        (next < scope.now - scope.dispatch_patience).then(|| {
            let what = format!(
                "it was due at {}, and no producer has dispatched it",
                next.format("%FT%TZ")
            );
            Violation::new(Rule::Finished, self.job.id, what, &[])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{at, job, row, scope, success};
    use serde_json::json;
    use shared::execution::{ErrorKind, Status};
    use shared::random::Random;

    /// The violations in these rows of this job.
    fn wrong(job: &Job, rows: &[Execution], scope: &Scope) -> Vec<String> {
        let tenant = TenantId::new(at("00:00:00"), &Random::seeded(1));
        let mut coverage = Coverage::new(tenant, job, scope).unwrap();
        let mut found: Vec<Violation> = rows.iter().filter_map(|row| coverage.add(row)).collect();
        found.extend(coverage.finish(scope));
        found.into_iter().map(|violation| violation.what).collect()
    }

    fn stands_for(count: i32, occurrence: &str) -> Execution {
        let row = row(occurrence, 1, Status::Skipped, Some(ErrorKind::Misfire));
        Execution { stands_for: count, ..row }
    }

    #[test]
    fn every_occurrence_has_its_row_or_is_stood_for() {
        let all = ["12:10:00", "12:20:00", "12:30:00", "12:40:00", "12:50:00"].map(success);
        assert!(wrong(&job(), &all, &scope()).is_empty());
        let some = [success("12:10:00"), stands_for(4, "12:50:00")];
        assert!(wrong(&job(), &some, &scope()).is_empty());
        let manual = Execution { trigger: Trigger::Manual, ..success("12:15:00") };
        let and_more = [some[0].clone(), manual, some[1].clone()];
        assert!(
            wrong(&job(), &and_more, &scope()).is_empty(),
            "a manual run accounts for no planned one"
        );
    }

    #[test]
    fn missing_and_extra_occurrences_are_found() {
        let missing = [success("12:10:00"), success("12:30:00"), stands_for(2, "12:50:00")];
        assert_eq!(
            wrong(&job(), &missing, &scope()),
            ["it stands for 1, but after 2026-11-24T12:10:00Z there were 2"]
        );
        let end = [success("12:10:00"), stands_for(3, "12:40:00")];
        let found = wrong(&job(), &end, &scope());
        assert!(found[0].starts_with("its next_run_at is 2026-11-24T13:00:00Z"), "{found:?}");
        let extra = [success("12:10:00"), success("12:15:00"), stands_for(4, "12:50:00")];
        assert_eq!(wrong(&job(), &extra, &scope()), ["the schedule has no such occurrence"]);
        let overdue = Scope { now: at("14:00:00"), ..scope() };
        let all = [stands_for(5, "12:50:00")];
        assert!(wrong(&job(), &all, &overdue)[0].contains("no producer has dispatched it"));
    }

    #[test]
    fn the_first_row_may_stand_for_occurrences_before_the_scope() {
        let late = Scope { from: at("12:25:00"), ..scope() };
        let rows = [stands_for(3, "12:30:00"), stands_for(2, "12:50:00")];
        assert!(wrong(&job(), &rows, &late).is_empty());
        assert_eq!(wrong(&job(), &[rows[0].clone(), success("12:50:00")], &late).len(), 1);
    }

    #[test]
    fn pruned_occurrences_are_not_missed_and_later_ones_are() {
        let pruned = Job { pruned_until: Some(at("12:20:00")), ..job() };
        // Pruning keeps the last success, and the first row after it may stand for pruned ones.
        let rows = [success("12:10:00"), stands_for(2, "12:30:00"), stands_for(2, "12:50:00")];
        assert!(wrong(&pruned, &rows, &scope()).is_empty());
        assert!(wrong(&pruned, &rows[1..], &scope()).is_empty());
        assert_eq!(wrong(&pruned, &[rows[1].clone(), success("12:50:00")], &scope()).len(), 1);
        assert!(wrong(&pruned, &rows[..1], &scope())[0].starts_with("its next_run_at is"));
        let all = Job { pruned_until: Some(at("12:50:00")), ..job() };
        assert!(wrong(&all, &[], &scope()).is_empty());
    }

    #[test]
    fn a_single_instant_runs_even_when_it_was_past() {
        let once = Job {
            schedule: json!({"at": "2026-11-24T11:00:00Z"}),
            is_enabled: false,
            next_run_at: None,
            ..job()
        };
        assert!(wrong(&once, &[success("11:00:00")], &scope()).is_empty());
        assert_eq!(wrong(&once, &[success("12:30:00")], &scope()).len(), 1);
    }
}
