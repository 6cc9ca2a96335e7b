//! Why a time has no execution: the schedule doesn't name it, or it was not dispatched.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::clock::Time;
use shared::job::Job;
use shared::schedule::{Schedule, Spread};
use shared::store::Audit;
use shared::tenant::TenantStatus;

use crate::changes::{Changes, describe};
use crate::conditions::{of_pause, of_suspension, of_the_tenant, who_executes};
use crate::context::{Context, TenantContext};
use crate::failure::Failure;
use crate::finding::{Finding, Level};
use crate::fleet::producers;
use crate::format::time;
use crate::next_time;
use crate::schedule::{due, is_planned, just_before, read};

/// How far the clocks of the control database and the tenant's may differ.
const CLOCKS: TimeDelta = TimeDelta::seconds(60);

/// A time without an execution.
pub(super) struct MissingOccurrence<'a> {
    pub(super) at: &'a TenantContext,
    pub(super) job: &'a Job,
    pub(super) schedule: &'a Schedule,
    pub(super) changes: &'a Changes,
    pub(super) requested: Time,
}

impl MissingOccurrence<'_> {
    /// Why it has none.
    pub(super) async fn why(&self, context: &Context) -> Result<Vec<Finding>, Failure> {
        let MissingOccurrence { at, job, requested, .. } = *self;
        if !is_planned(self.schedule, requested) {
            return Ok(vec![self.unplanned()]);
        }
        if job.pruned_until.is_some_and(|until| requested <= until) {
            return Ok(vec![self.pruned()]);
        }
        if !job.is_enabled {
            return Ok(vec![of_pause(&at.tenant.slug, job, self.changes)]);
        }
        if job.next_run_at.is_some_and(|next| next > requested) {
            let deviating = next_time::of_job(&at.tenant, &at.store, job).await;
            if let Some(finding) = deviating.map_err(|error| at.failed(error))? {
                return Ok(vec![finding]);
            }
        }
        let counts_since = job.schedule_since.unwrap_or(job.updated_at);
        if counts_since > requested {
            return Ok(vec![self.before_the_schedule(counts_since)]);
        }
        if requested > at.now {
            let shown = time(Some(requested));
            return Ok(vec![Finding::ok("schedule", format!("will be due at {shown}"))]);
        }
        self.unseen(context).await
    }

    fn pruned(&self) -> Finding {
        let until = time(self.job.pruned_until);
        let finding = format!("its record was removed for its age, as others up to {until} were");
        Finding::ok("history", format!("{finding}; POLYCHRON_KEEP says how long they stay"))
    }

    /// The schedule doesn't name the time; an earlier one may have, or a clock change skipped it.
    fn unplanned(&self) -> Finding {
        let MissingOccurrence { job, schedule, requested, .. } = *self;
        let shown = time(Some(requested));
        if let Some(finding) = self.planned_before_an_edit() {
            return finding;
        }
        let (before, after) = (schedule.prev_before(requested), schedule.next_after(requested));
        let remedy = "name one of its times";
        let Some(next) = after else {
            let last = time(before);
            let finding =
                format!("the schedule is used up: its last time was {last}, before {shown}");
            let remedy = "give the job a new schedule, or a later `end`";
            return Finding::problem("schedule", finding, remedy).warning();
        };
        let around = format!("before it {}, after it {}", time(before), time(Some(next)));
        let finding = format!("the schedule doesn't name {shown}: {around}");
        let zone = schedule.timezone();
        let clocks = match (self.left_out(before, next), self.moved(before, next)) {
            (Some(local), _) => format!(
                "; between them, clocks in {zone} skip {local}, and the schedule leaves it out (`gap`: `skip`)"
            ),
            (None, Some(moved)) => format!("; by the change of clocks in {zone}, {moved}"),
            (None, None) => String::new(),
        };
        let remedy = match self.left_out(before, next) {
            Some(_) => {
                "without `gap` in the schedule it would have run at the first moment after the change"
            }
            None if job.schedule.get("at").is_some() => {
                "it is a one-off; `polychron job run` runs it again"
            }
            None => remedy,
        };
        Finding::problem("schedule", format!("{finding}{clocks}"), remedy).warning()
    }

    /// The local time between two occurrences that a clock change skipped, if the schedule would name
    /// it.
    fn left_out(&self, before: Option<Time>, next: Time) -> Option<String> {
        let mut fields = self.job.schedule.as_object()?.clone();
        if fields.get("gap")? != "skip" {
            return None;
        }
        fields.insert("gap".to_owned(), "first".into());
        let spread = Spread::new(self.at.tenant.id, self.job.id);
        let lenient = read(&Value::Object(fields).to_string(), spread).ok()?;
        let moved = lenient.next_after(before?).filter(|moved| *moved < next)?;
        let moved = lenient.occurrences_explained(just_before(moved), 1).pop()?;
        let text = moved.change?.to_string();
        Some(text.rsplit_once("skip ").map_or(text.clone(), |(_, local)| local.to_owned()))
    }

    /// How a clock change moved the occurrences before and after.
    fn moved(&self, before: Option<Time>, next: Time) -> Option<String> {
        let times = [before, Some(next)].into_iter().flatten();
        let mut explained = times.flat_map(|time| due(self.schedule, Some(time), 1));
        explained.find_map(|due| Some(format!("{} is {}", time(Some(due.at)), due.clocks?)))
    }

    /// The edit that replaced a schedule which named the time.
    fn planned_before_an_edit(&self) -> Option<Finding> {
        let schedule_before = |change: &Audit| {
            let before = change.before.as_ref()?.get("schedule")?;
            let spread = Spread::new(self.at.tenant.id, self.job.id);
            read(&before.to_string(), spread).ok()
        };
        let is_edit = |change: &Audit| schedule_before(change).is_some();
        let edit = self.changes.first_after(self.requested, is_edit)?;
        if self.requested < self.job.created_at {
            return None;
        }
        let schedule = schedule_before(edit)?;
        if !is_planned(&schedule, self.requested) {
            return None;
        }
        let finding = format!(
            "{} was a time of an earlier schedule, {}, which was changed {}; nothing ran then",
            time(Some(self.requested)),
            edit.before.as_ref().map_or(json!(null), |before| before["schedule"].clone()),
            describe(edit)
        );
        let remedy = "name a time of the present schedule; `polychron job run` runs it now";
        Some(Finding::problem("schedule", finding, remedy).warning())
    }

    /// The present schedule is in force only from a later time on.
    fn before_the_schedule(&self, since: Time) -> Finding {
        let word = |change: &Audit| match change.action.as_str() {
            "job.add" => Some("added"),
            "job.resume" => Some("resumed"),
            "job.edit"
                if change.after.as_ref().is_some_and(|after| after.get("schedule").is_some()) =>
            {
                Some("edited")
            }
            _ => None,
        };
        let begun = self.changes.last_until(since + CLOCKS, |change| word(change).is_some());
        let begun = begun.filter(|change| change.at + CLOCKS > self.requested);
        let how = match begun {
            Some(change) => {
                format!("the job was {} {}", word(change).unwrap_or_default(), describe(change))
            }
            None => "the job was added, edited or resumed by plain SQL".to_owned(),
        };
        let paused = begun.filter(|change| change.action == "job.resume").and_then(|resumed| {
            self.changes.last_until(resumed.at, |change| change.action == "job.pause")
        });
        let paused = paused.map(|pause| format!("; it had been paused {}", describe(pause)));
        let finding = format!(
            "the present schedule counts from {} on: {how}{}",
            time(Some(since)),
            paused.unwrap_or_default()
        );
        Finding::problem("job", finding, "`polychron job run` runs it now").warning()
    }

    /// It was due, and no producer has dispatched it.
    async fn unseen(&self, context: &Context) -> Result<Vec<Finding>, Failure> {
        let MissingOccurrence { at, job, requested, .. } = *self;
        let shown = time(Some(requested));
        if at.tenant.status == TenantStatus::Suspended {
            return Ok(vec![of_suspension(&at.tenant.slug, self.changes)]);
        }
        let summary = at.store.poll().await.map_err(|error| at.failed(error))?;
        let executes = who_executes(context, at, job).await?;
        let around = [vec![of_the_tenant(&at.tenant, &summary, self.changes)], executes].concat();
        let is_told = around.iter().any(|finding| finding.level != Level::Ok);
        let watching = producers(&context.control).await?.len();
        let (finding, remedy) = match (watching, is_told) {
            (0, _) => (
                "no producer is alive".to_owned(),
                "start `polychron-producer` (or `polychron up`, where that is how it runs)",
            ),
            (_, true) => ("held in its table for the reason below".to_owned(), "see below"),
            (n, false) => (
                format!(
                    "held in its table: its queue is full, or none of the {n} live producers can use this database"
                ),
                "more consumers empty the queue; else see what `polychron-producer` logs about this tenant",
            ),
        };
        let finding = format!("due at {shown}, and {finding}");
        let unseen = Finding::problem("schedule", finding, remedy);
        Ok([vec![unseen], around].concat())
    }
}
