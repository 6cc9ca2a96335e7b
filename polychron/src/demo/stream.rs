//! The demo's output: a line for each event, and a summary at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use chrono::TimeDelta;
use shared::execution::{ErrorKind, Execution, Status, Trigger};

/// Writes to standard output; coloured for a terminal, plain otherwise.
pub(super) struct Stream {
    colour: bool,
}

/// The totals of a tenant's executions.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// Handlers that were started.
    runs: u32,
    successes: u32,
    failures: u32,
    /// Occurrences that did not run.
    skipped: u64,
    /// The longest time from an occurrence's due time to the start of its handler.
    worst_lateness: TimeDelta,
}

impl Summary {
    /// Counts a row that has just changed status.
    pub(super) fn add(&mut self, row: &Execution) {
        if !row.status.is_final() {
            return;
        }
        match row.status {
            Status::Success => self.successes += 1,
            Status::Failed => self.failures += 1,
            Status::Skipped => self.skipped += u64::from(row.stands_for.unsigned_abs()),
            _ => {}
        }
        if row.started_at.is_some() {
            self.runs += 1;
        }
        self.worst_lateness = self.worst_lateness.max(lateness(row).unwrap_or_default());
    }
}

/// How long after its time an attempt began: the occurrence's, or a retry's own.
fn lateness(row: &Execution) -> Option<TimeDelta> {
    Some(row.started_at? - row.available_at.unwrap_or(row.scheduled_for))
}

impl Stream {
    pub(super) fn new(colour: bool) -> Stream {
        Stream { colour }
    }

    /// Shows a row that is new or has changed status, unless it is only scheduled or dispatched.
    pub(super) fn show(&mut self, tenant: &str, row: &Execution) -> io::Result<()> {
        let (colour, word, detail) = match row.status {
            Status::Dispatched => return Ok(()),
            Status::Scheduled if row.attempt > 1 => ("36", "will retry", String::new()),
            Status::Scheduled => ("36", "waits", String::new()),
            Status::Running => ("34", "started", started(row)),
            Status::Success => ("32", "success", took(row)),
            Status::Failed => match row.error_kind {
                Some(ErrorKind::Timeout) => ("35", "timeout", error(row)),
                Some(ErrorKind::Panic) => ("31", "panic", error(row)),
                _ => ("31", "failed", error(row)),
            },
            Status::Cancelled => ("33", "cancelled", error(row)),
            Status::Skipped => ("33", "skipped", error(row)),
        };
        let time = row.finished_at.or(row.started_at).unwrap_or(row.scheduled_for);
        let job = row.job_name.as_deref().unwrap_or("(deleted)");
        let attempt =
            if row.attempt > 1 { format!(" (attempt {})", row.attempt) } else { String::new() };
        let word = format!("{word:<10}");
        let word = if self.colour { format!("\x1b[{colour}m{word}\x1b[0m") } else { word };
        let time = time.format("%H:%M:%S%.3f");
        let line = format!("{time}  {tenant:<8} {job:<16} {word} {detail}{attempt}");
        writeln!(io::stdout().lock(), "{}", line.trim_end())
    }

    /// Shows the totals of each tenant.
    pub(super) fn summary(&mut self, summaries: &BTreeMap<String, Summary>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\ntenant     runs  successes  failures  skipped  worst lateness")?;
        for (tenant, sum) in summaries {
            let worst = sum.worst_lateness.num_milliseconds();
            writeln!(
                out,
                "{tenant:<8} {:>6} {:>10} {:>9} {:>8} {worst:>12} ms",
                sum.runs, sum.successes, sum.failures, sum.skipped
            )?;
        }
        Ok(())
    }
}

fn started(row: &Execution) -> String {
    let late = lateness(row).unwrap_or_default().num_milliseconds();
    let due = if row.trigger == Trigger::Schedule { "after it was due" } else { "after its time" };
    format!("{late} ms {due}")
}

fn took(row: &Execution) -> String {
    let (Some(from), Some(to)) = (row.started_at, row.finished_at) else { return String::new() };
    let millis = (to - from).num_milliseconds().unsigned_abs();
    format!("took {}", humantime::format_duration(Duration::from_millis(millis)))
}

fn error(row: &Execution) -> String {
    row.error_message.clone().unwrap_or_default()
}
