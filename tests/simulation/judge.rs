//! What must hold after every step: each change of a row is a legal transition, made by a process that
//! may make it, and only what the rows allow is running.

use std::collections::{BTreeMap, BTreeSet};

use shared::clock::Time;
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::id::{ExecutionId, JobId};
use shared::job::OverlapPolicy;
use shared::message::Message;

use crate::faults::Faults;
use crate::handlers::{Log, Run};
use crate::process::{Kind, SLOTS};
use crate::scenario::SimTenant;

/// Who made the last change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor<'a> {
    /// The tenant's people, or an operator.
    People,
    /// A process, through this method of the store.
    Process(Kind, &'a str, &'a str),
}

/// The state of the judge.
#[derive(Default)]
pub(crate) struct Judge {
    rows: BTreeMap<String, BTreeMap<ExecutionId, Execution>>,
    /// The worker name of each consumer.
    workers: BTreeMap<String, String>,
    seen_runs: usize,
    started: BTreeSet<ExecutionId>,
}

pub(crate) type Verdict = Result<(), String>;

impl Judge {
    /// After a move in a tenant's database. `rows` are all, or those that may have changed.
    pub(crate) fn moved(
        &mut self,
        tenant: &SimTenant,
        rows: Vec<Execution>,
        all: bool,
        actor: Actor<'_>,
    ) -> Verdict {
        let mut known = self.rows.remove(&tenant.slug).unwrap_or_default();
        if all && rows.len() < known.len() {
            return Err(format!("rows of {} are gone, by {actor:?}", tenant.slug));
        }
        let mut created = Vec::new();
        for new in rows {
            match known.get(&new.id) {
                Some(old) if *old != new => self.change(old, &new, actor)?,
                Some(_) => continue,
                None => created.push(new.id),
            }
            known.insert(new.id, new);
        }
        created.iter().try_for_each(|id| may_create(&known[id], &known, actor))?;
        within_limits(tenant, &known)?;
        self.rows.insert(tenant.slug.clone(), known);
        Ok(())
    }

    /// How many rows of a tenant it has seen, and which of them were not final.
    pub(crate) fn known(&self, slug: &str) -> (usize, Vec<ExecutionId>) {
        let rows: Vec<&Execution> = self.rows_of(slug).collect();
        let open = rows.iter().filter(|row| !row.status.is_final());
        (rows.len(), open.map(|row| row.id).collect())
    }

    fn change(&mut self, old: &Execution, new: &Execution, actor: Actor<'_>) -> Verdict {
        let wrong =
            |what: &str| Err(format!("{what}, by {actor:?}\nbefore {old:#?}\nafter {new:#?}"));
        if old.status.is_final() {
            return wrong("a final row was changed");
        }
        if old.status != new.status && !old.status.may_become(new.status) {
            return wrong("no such move");
        }
        match actor {
            Actor::People if new.status == old.status || new.status == Status::Cancelled => Ok(()),
            Actor::People => wrong("people cannot do that"),
            // Times that were written while the clock was ahead.
            Actor::Process(Kind::Producer, _, "correct_future") if new.status == old.status => {
                Ok(())
            }
            Actor::Process(kind, label, _) => match (old.status, new.status) {
                (Status::Running, _) if old.cancel_requested && !new.cancel_requested => {
                    wrong("a request was forgotten")
                }
                (Status::Scheduled, Status::Dispatched) if kind == Kind::Producer => Ok(()),
                (Status::Dispatched, Status::Dispatched) if kind == Kind::Producer => Ok(()),
                (Status::Dispatched, Status::Running) if kind == Kind::Consumer => {
                    let worker = new.worker.clone().unwrap_or_default();
                    let known = self.workers.entry(label.to_owned()).or_insert(worker.clone());
                    if *known == worker { Ok(()) } else { wrong("claimed for another worker") }
                }
                (Status::Running, _) if kind == Kind::Consumer => {
                    let own = self.workers.get(label) == old.worker.as_ref();
                    if own { Ok(()) } else { wrong("the row was another worker's") }
                }
                (Status::Running, Status::Failed)
                    // By the process's own time: the clock may have been set back since it read it.
                    if old.lease_until < new.finished_at =>
                {
                    Ok(())
                }
                _ => wrong("not its move"),
            },
        }
    }

    /// After each step: checks what is running.
    pub(crate) fn ran(
        &mut self,
        tenants: &[SimTenant],
        log: &Log,
        unpunctual: &BTreeSet<String>,
        faults: &Faults,
    ) -> Verdict {
        let runs = log.runs();
        let mut at_once: BTreeMap<&str, usize> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.ended.is_none()) {
            *at_once.entry(&run.process).or_default() += 1;
        }
        if let Some((process, count)) = at_once.iter().find(|(_, count)| **count > SLOTS) {
            return Err(format!("{process} runs {count} at once"));
        }
        for run in &runs[self.seen_runs..] {
            let on_time = runs.iter().filter(|run| !unpunctual.contains(&run.process));
            let twin = on_time.clone().find(|other| are_twins(run, other));
            self.start(tenants, run, twin, faults)?;
        }
        self.seen_runs = runs.len();
        Ok(())
    }

    /// After each step: checks that no message names a row that may not be claimed yet. `forged` are the
    /// rows of messages that no process sent.
    pub(crate) fn sent(&self, messages: &[Message], forged: &BTreeSet<ExecutionId>) -> Verdict {
        let all = self.rows.values();
        for message in messages.iter().filter(|message| !forged.contains(&message.execution)) {
            let row = all.clone().find_map(|rows| rows.get(&message.execution));
            if row.is_none_or(|row| row.status == Status::Scheduled) {
                return Err(format!("a message came before its row: {message:?}\n{row:#?}"));
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        tenants: &[SimTenant],
        run: &Run,
        twin: Option<&Run>,
        faults: &Faults,
    ) -> Verdict {
        let wrong = |what: &str| Err(format!("{what}: {run:#?}"));
        if !self.started.insert(run.execution) {
            return wrong("a handler started twice for one row");
        }
        let tenant = tenants.iter().find(|tenant| tenant.id == run.tenant);
        let Some(row) = tenant.and_then(|tenant| self.rows.get(&tenant.slug)?.get(&run.execution))
        else {
            return wrong("a handler started without a row");
        };
        let holder = self.workers.get(&run.process);
        if row.worker.as_ref() != holder
            || (row.job_id, row.scheduled_for, row.attempt)
                != (run.job, run.occurrence, run.attempt)
        {
            return Err(format!("a handler started on another's row: {run:#?}\n{row:#?}"));
        }
        // A clock that is set forward ends leases early.
        if row.status != Status::Running && !faults.sets_clocks() {
            return Err(format!("a handler started on a row that is over: {run:#?}\n{row:#?}"));
        }
        match twin {
            Some(twin) => Err(format!("two handlers at one occurrence: {run:#?}\n{twin:#?}")),
            None if faults.none && run.attempt > 1 && row.trigger == Trigger::Rescue => {
                wrong("a rescue without a fault")
            }
            None => Ok(()),
        }
    }

    /// In the end: everything that should have run has started, unless its lease was lost (at the
    /// deadline, too) or it was cancelled before.
    pub(crate) fn all_started(&self) -> Verdict {
        for rows in self.rows.values() {
            let mut occurrences: BTreeMap<(JobId, Time), Vec<&Execution>> = BTreeMap::new();
            for row in rows.values() {
                occurrences.entry((row.job_id, row.scheduled_for)).or_default().push(row);
            }
            for attempts in occurrences.values() {
                let started = attempts.iter().any(|row| self.started.contains(&row.id));
                let excused = attempts.iter().any(|row| {
                    let excuse = matches!(
                        row.error_kind,
                        Some(
                            ErrorKind::Lost
                                | ErrorKind::Timeout
                                | ErrorKind::Cancelled
                                | ErrorKind::UnknownType
                        )
                    );
                    // The process that was to cancel it may have been shutting down.
                    excuse || row.cancel_requested || row.status == Status::Skipped
                });
                if !started && !excused {
                    return Err(format!("it was never started: {attempts:#?}"));
                }
            }
        }
        Ok(())
    }

    /// A tenant's rows as they were last read.
    pub(crate) fn rows_of(&self, slug: &str) -> impl Iterator<Item = &Execution> {
        self.rows.get(slug).into_iter().flat_map(BTreeMap::values)
    }

    /// The rows that are not final.
    pub(crate) fn open(&self) -> Vec<&Execution> {
        self.rows.values().flat_map(BTreeMap::values).filter(|row| !row.status.is_final()).collect()
    }
}

/// Whether two handlers run for one occurrence, and the earlier one was not cancelled.
fn are_twins(run: &Run, other: &Run) -> bool {
    (other.tenant, other.job, other.occurrence) == (run.tenant, run.job, run.occurrence)
        && other.execution != run.execution
        && other.ended.is_none()
        && !other.cancelled.is_cancelled()
}

/// Whether `actor` may insert this row.
fn may_create(
    new: &Execution,
    rows: &BTreeMap<ExecutionId, Execution>,
    actor: Actor<'_>,
) -> Verdict {
    let wrong = |what: &str| Err(format!("{what}, by {actor:?}: {new:#?}"));
    let before = rows.values().find(|row| {
        (row.job_id, row.scheduled_for, row.attempt)
            == (new.job_id, new.scheduled_for, new.attempt - 1)
    });
    match (actor, new.trigger) {
        (Actor::People, Trigger::Manual) => Ok(()),
        (Actor::Process(Kind::Producer, _, "dispatch"), Trigger::Schedule) if new.attempt == 1 => {
            match new.status {
                Status::Scheduled | Status::Dispatched | Status::Skipped => Ok(()),
                _ => wrong("inserted with a status that only a later step sets"),
            }
        }
        (Actor::Process(_, _, "finish_if" | "try_finish"), Trigger::Retry | Trigger::Rescue) => {
            match before {
                Some(before) if before.status.is_final() && new.status == Status::Scheduled => {
                    Ok(())
                }
                _ => wrong("the attempt before it isn't over"),
            }
        }
        _ => wrong("no process inserts such a row"),
    }
}

/// Checks `max_running` and the overlap policies.
fn within_limits(tenant: &SimTenant, rows: &BTreeMap<ExecutionId, Execution>) -> Verdict {
    let busy: Vec<&Execution> = rows
        .values()
        .filter(|row| matches!(row.status, Status::Dispatched | Status::Running))
        .collect();
    if tenant.max_running.is_some_and(|most| busy.len() > most as usize) {
        return Err(format!(
            "{} has more than {:?} at once: {busy:#?}",
            tenant.slug, tenant.max_running
        ));
    }
    let manual: BTreeSet<(JobId, Time)> = rows
        .values()
        .filter(|row| row.trigger == Trigger::Manual)
        .map(|row| (row.job_id, row.scheduled_for))
        .collect();
    let mut jobs: BTreeMap<JobId, &Execution> = BTreeMap::new();
    for row in busy {
        let is_exclusive = tenant.overlap.get(&row.job_id) != Some(&OverlapPolicy::Allow);
        if !is_exclusive || manual.contains(&(row.job_id, row.scheduled_for)) {
            continue;
        }
        if let Some(other) = jobs.insert(row.job_id, row) {
            return Err(format!("two occurrences of one job at once: {row:#?}\n{other:#?}"));
        }
    }
    Ok(())
}
