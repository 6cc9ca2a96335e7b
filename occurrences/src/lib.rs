//! Did everything that should have run, run? Checks the promise against the rows in the tenants'
//! databases, independently of the code that wrote them, and names the rows that break it.
//!
//! All of it is pure (rows in, violations out) except [`check()`], which reads the rows page by
//! page. `attempts.rs` checks one occurrence, `coverage.rs` all occurrences of a job against its
//! schedule, `concurrency.rs` what ran at the same time; `log.rs` compares the rows with what
//! handlers recorded themselves.

mod attempts;
mod check;
mod concurrency;
mod coverage;
#[cfg(test)]
mod example;
pub mod log;

use chrono::TimeDelta;
use serde::Serialize;
use shared::clock::Time;
use shared::execution::Execution;
use shared::id::{ExecutionId, JobId};

pub use check::check;

/// How many violations a report lists for one tenant; further ones are only counted.
pub const VIOLATIONS_MAX: usize = 100;

/// Which occurrences are checked, and how strictly.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Planned at this time or later.
    pub from: Time,
    /// Planned before this time; `None`: all rows, and each job's `next_run_at` as well.
    pub to: Option<Time>,
    /// The database's time.
    pub now: Time,
    /// How overdue an unfinished row may be.
    pub patience: TimeDelta,
    /// How overdue a job may be that has no row yet for its next occurrence.
    pub dispatch_patience: TimeDelta,
    /// What happened to the database's clock within the scope.
    pub clock: ClockHistory,
}

/// What happened to a database's clock while the rows were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockHistory {
    /// It never went back.
    Monotonic,
    /// It was set back: occurrences may have come twice, and the order of times proves nothing.
    SetBack,
}

/// The result of checking one tenant.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many jobs there are.
    pub jobs: u64,
    /// How many rows were read.
    pub executions: u64,
    /// How many planned occurrences these rows account for.
    pub occurrences: u64,
    /// The first [`VIOLATIONS_MAX`] violations.
    pub violations: Vec<Violation>,
    /// How many further violations there are.
    pub more: u64,
}

impl Report {
    fn add(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            match self.violations.len() < VIOLATIONS_MAX {
                true => self.violations.push(violation),
                false => self.more += 1,
            }
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Which promise is broken.
    pub rule: Rule,
    /// Whose job.
    pub job: JobId,
    /// A sentence about what is wrong.
    pub what: String,
    /// The rows that prove it.
    pub rows: Vec<Proof>,
}

impl Violation {
    fn new(rule: Rule, job: JobId, what: impl Into<String>, rows: &[&Execution]) -> Violation {
        let rows = rows.iter().map(|row| Proof::of(row)).collect();
        Violation { rule, job, what: what.into(), rows }
    }
}

/// The promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Every planned occurrence has its row or is stood for by another's; nothing else ran.
    Accounted,
    /// Attempts are 1..n without holes, each follows from the one before, and none is missing.
    Attempts,
    /// Every row has the columns that its status requires, and no contradictory ones.
    Complete,
    /// Nothing is unfinished long after it was due.
    Finished,
    /// Runs are disjoint where the overlap policy says so.
    Disjoint,
    /// No more at once than the tenant's or the process's limit.
    Limited,
    /// What handlers recorded agrees with the rows.
    Logged,
}

impl Rule {
    /// The rule's name in reports and in docs/reliability.md.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Accounted => "accounted",
            Rule::Attempts => "attempts",
            Rule::Complete => "complete",
            Rule::Finished => "finished",
            Rule::Disjoint => "disjoint",
            Rule::Limited => "limited",
            Rule::Logged => "logged",
        }
    }
}

/// The columns of a row that prove a violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// The row.
    pub id: ExecutionId,
    /// The planned time.
    pub scheduled_for: Time,
    /// Which attempt.
    pub attempt: i32,
    /// Why the attempt exists.
    pub trigger: &'static str,
    /// Its state.
    pub status: &'static str,
    /// Why it did not succeed.
    pub error_kind: Option<&'static str>,
    /// How many occurrences it accounts for.
    pub stands_for: i32,
    /// When it became claimable.
    pub dispatched_at: Option<Time>,
    /// When it was claimed.
    pub started_at: Option<Time>,
    /// When it became final.
    pub finished_at: Option<Time>,
    /// Who claimed it.
    pub worker: Option<String>,
}

impl Proof {
    fn of(row: &Execution) -> Proof {
        Proof {
            id: row.id,
            scheduled_for: row.scheduled_for,
            attempt: row.attempt,
            trigger: row.trigger.as_str(),
            status: row.status.as_str(),
            error_kind: row.error_kind.map(|kind| kind.as_str()),
            stands_for: row.stands_for,
            dispatched_at: row.dispatched_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            worker: row.worker.clone(),
        }
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Proof { id, scheduled_for, attempt, trigger, status, .. } = self;
        let occurrence = scheduled_for.format("%FT%TZ");
        write!(f, "{id} of {occurrence}, attempt {attempt} ({trigger}): {status}")?;
        if let Some(kind) = self.error_kind {
            write!(f, "/{kind}")?;
        }
        Ok(())
    }
}
