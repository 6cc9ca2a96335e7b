//! Did everything that should have run, run? Verifies from what the tenants' databases hold what
//! must always hold, and names the rows that prove the contrary.
//!
//! Everything here but [`audit`] is pure: rows in, violations out. `attempts.rs` looks at one
//! occurrence, `account.rs` at all of a job's against its schedule, `busy.rs` at what ran at once;
//! `log.rs` compares with what handlers themselves wrote down. `read.rs` reads the rows, a page at
//! a time.

mod account;
mod attempts;
mod busy;
#[cfg(test)]
mod example;
pub mod log;
mod read;

use chrono::TimeDelta;
use serde::Serialize;
use shared::clock::Time;
use shared::execution::Execution;
use shared::id::{ExecutionId, JobId};

pub use read::audit;

/// The most violations that are kept of one tenant; the rest is counted.
pub const VIOLATIONS_MAX: usize = 100;

/// What is looked at, and how strictly.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Occurrences from here on.
    pub from: Time,
    /// Occurrences before this; none for all there are, up to each job's next.
    pub to: Option<Time>,
    /// The database's time.
    pub now: Time,
    /// How long after its time a row may still be unfinished.
    pub patience: TimeDelta,
    /// How long after its time a due job may still be unseen.
    pub unseen: TimeDelta,
    /// Whether the database's clock only ever went forward: if it was set back, occurrences came
    /// twice and the order of times says nothing.
    pub steady_clock: bool,
}

/// What the audit of one tenant came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many jobs there are.
    pub jobs: u64,
    /// How many rows were looked at.
    pub executions: u64,
    /// For how many planned occurrences they stand.
    pub occurrences: u64,
    /// What is wrong, the first of it.
    pub violations: Vec<Violation>,
    /// How much more is wrong.
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

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Which promise is broken.
    pub rule: Rule,
    /// Whose job.
    pub job: JobId,
    /// In a sentence.
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
    /// What the schedule and the policies demand has its row or is stood for; nothing else ran.
    Accounted,
    /// Attempts are 1..n without holes, each follows from the one before, and none is missing.
    Attempts,
    /// A final row says all that it must, and no row says what it cannot.
    Complete,
    /// Nothing is unfinished long after its time.
    Finished,
    /// Runs are disjoint where the overlap policy says so.
    Disjoint,
    /// No more at once than the tenant, or the process, may have.
    Limited,
    /// What handlers wrote down is what the rows say.
    Logged,
}

impl Rule {
    /// The word for it.
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

/// What of a row proves a violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// The row.
    pub id: ExecutionId,
    /// Its occurrence.
    pub scheduled_for: Time,
    /// Which attempt.
    pub attempt: i32,
    /// What brought it into being.
    pub trigger: &'static str,
    /// Where it is.
    pub status: &'static str,
    /// Why it ended other than in success.
    pub error_kind: Option<&'static str>,
    /// For how many occurrences it stands.
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
