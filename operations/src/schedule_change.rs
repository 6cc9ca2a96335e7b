//! An edit of a job's schedule, and what it changes in words.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use shared::clock::Time;
use shared::job::Job;
use shared::schedule::{Patch, Patched, Schedule, Spread};

use crate::context::TenantContext;
use crate::failure::Failure;
use crate::format;
use crate::schedule::check_is_to_come;

/// A job after an edit.
#[derive(Clone, Debug, Serialize)]
pub struct Edited {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// What the edit changed of its schedule; none if it did not name it.
    pub schedule_change: Option<ScheduleChange>,
}

/// What an edit changes of a schedule. `Display` is a line for each part.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleChange {
    /// As it was; none if it could not be read.
    pub before: Option<Meaning>,
    /// As it is now.
    pub after: Meaning,
    /// The options that the edit did not name and that are still there, such as
    /// `timezone "Europe/London"`.
    pub kept: Vec<String>,
    /// The options that are gone, since the schedule's new form cannot have them.
    pub dropped: Vec<String>,
}

/// What a schedule says.
#[derive(Clone, Debug, Serialize)]
pub struct Meaning {
    /// When it is due, in words.
    pub words: String,
    /// When it is due next; none if it is used up.
    pub next: Option<Time>,
}

impl Meaning {
    /// What a schedule of a job means at a time.
    pub fn of(schedule: &Schedule, now: Time) -> Meaning {
        Meaning { words: schedule.describe(), next: schedule.first_after(now) }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            Some(next) => write!(f, "{}; next {}", self.words, format::time(Some(next))),
            None => write!(f, "{}; used up", self.words),
        }
    }
}

impl fmt::Display for ScheduleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.before {
            Some(before) => writeln!(f, "schedule before: {before}")?,
            None => writeln!(f, "schedule before: could not be read")?,
        }
        write!(f, "schedule after:  {}", self.after)?;
        if !self.kept.is_empty() {
            write!(f, "\nkept: {}", self.kept.join(", "))?;
        }
        if !self.dropped.is_empty() {
            write!(f, "\ndropped: {}", self.dropped.join(", "))?;
        }
        Ok(())
    }
}

/// Applies a patch to a job's schedule: the new schedule, and what changes.
///
/// # Errors
///
/// If the engine cannot read the result. The failure says so if the fault is in an option that the
/// patch does not name.
pub fn apply(
    patch: &Patch,
    at: &TenantContext,
    job: &Job,
) -> Result<(Value, ScheduleChange), Failure> {
    let spread = Spread::new(at.tenant.id, job.id);
    let Patched { schedule, kept, dropped } = patch.apply(&job.schedule);
    let read = Schedule::read(&schedule.to_string(), spread).map_err(|error| {
        let field = error.field();
        let hint = if kept.iter().any(|kept| kept == field) {
            let null = format!(r#"{{"{field}": null}}"#);
            format!("\nThe job has `{field}` already, and an edit keeps it; `{null}` removes it.")
        } else {
            String::new()
        };
        Failure::Usage(error.annotated() + &hint)
    })?;
    let now = at.now.time();
    check_is_to_come(&read, now)?;
    let before = Schedule::read(&job.schedule.to_string(), spread).ok().map(|schedule| Meaning {
        // The time that the producer has computed, if it has.
        next: job.next_run_at.or_else(|| schedule.first_after(now)),
        words: schedule.describe(),
    });
    let with_value = |name: String| format!("{name} {}", job.schedule[&name]);
    let change = ScheduleChange {
        before,
        after: Meaning::of(&read, now),
        kept: kept.into_iter().map(with_value).collect(),
        dropped: dropped.into_iter().map(with_value).collect(),
    };
    Ok((schedule, change))
}
