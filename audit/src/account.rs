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
        // What was pruned is not known, whatever is left of it.
        let known_from = job.pruned_until.map_or(scope.from, |until| scope.from.max(until + TICK));
        let text = job.schedule.to_string();
        let schedule = Schedule::read(&text, Spread::new(tenant, job.id)).ok()?;
        let unknown_before = known_from > since;
        let until = if unknown_before { known_from - TICK } else { since };
        let since = since.max(until);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{at, job, row, scope, success};
    use serde_json::json;
    use shared::execution::{ErrorKind, Status};
    use shared::random::Random;

    /// What is wrong with these rows of this job.
    fn wrong(job: &Job, rows: &[Execution], scope: &Scope) -> Vec<String> {
        let tenant = TenantId::new(at("00:00:00"), &Random::seeded(1));
        let mut account = Account::open(tenant, job, scope).unwrap();
        let mut found: Vec<Violation> = rows.iter().filter_map(|row| account.enter(row)).collect();
        found.extend(account.close(scope));
        found.into_iter().map(|violation| violation.what).collect()
    }

    fn stands_for(count: i32, occurrence: &str) -> Execution {
        let row = row(occurrence, 1, Status::Skipped, Some(ErrorKind::Misfire));
        Execution { stands_for: count, ..row }
    }

    #[test]
    fn each_occurrence_has_its_row_or_is_stood_for() {
        let all = ["12:10:00", "12:20:00", "12:30:00", "12:40:00", "12:50:00"].map(success);
        assert!(wrong(&job(), &all, &scope()).is_empty());
        let some = [success("12:10:00"), stands_for(4, "12:50:00")];
        assert!(wrong(&job(), &some, &scope()).is_empty());
        let manual = Execution { trigger: Trigger::Manual, ..success("12:15:00") };
        let and_more = [some[0].clone(), manual, some[1].clone()];
        assert!(
            wrong(&job(), &and_more, &scope()).is_empty(),
            "what was asked for counts for itself"
        );
    }

    #[test]
    fn what_is_missing_and_what_is_extra_is_found() {
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
        let unseen = Scope { now: at("14:00:00"), ..scope() };
        let all = [stands_for(5, "12:50:00")];
        assert!(wrong(&job(), &all, &unseen)[0].contains("nobody has seen it"));
    }

    #[test]
    fn what_was_before_the_scope_may_be_stood_for_in_it() {
        let late = Scope { from: at("12:25:00"), ..scope() };
        let rows = [stands_for(3, "12:30:00"), stands_for(2, "12:50:00")];
        assert!(wrong(&job(), &rows, &late).is_empty());
        assert_eq!(wrong(&job(), &[rows[0].clone(), success("12:50:00")], &late).len(), 1);
    }

    #[test]
    fn what_was_pruned_is_not_missed_and_what_comes_after_it_is() {
        let pruned = Job { pruned_until: Some(at("12:20:00")), ..job() };
        // The last success may be left of what was pruned, and the first row behind it may stand
        // for some of that.
        let rows = [success("12:10:00"), stands_for(2, "12:30:00"), stands_for(2, "12:50:00")];
        assert!(wrong(&pruned, &rows, &scope()).is_empty());
        assert!(wrong(&pruned, &rows[1..], &scope()).is_empty());
        assert_eq!(wrong(&pruned, &[rows[1].clone(), success("12:50:00")], &scope()).len(), 1);
        assert!(wrong(&pruned, &rows[..1], &scope())[0].starts_with("its next_run_at is"));
        let all = Job { pruned_until: Some(at("12:50:00")), ..job() };
        assert!(wrong(&all, &[], &scope()).is_empty());
    }

    #[test]
    fn a_single_instant_counts_even_when_it_was_past() {
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
