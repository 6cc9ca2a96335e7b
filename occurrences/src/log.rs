//! Compares what handlers recorded themselves (job type `record`) with the rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use shared::clock::Time;
use shared::execution::{Execution, Status};
use shared::id::{ExecutionId, JobId, TenantId};

use crate::{Rule, Violation};

/// A line that was written by a `record` job.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// `start`, `tick` or `end`.
    pub event: String,
    /// Whose job.
    pub tenant: TenantId,
    /// Which job.
    pub job: JobId,
    /// Which row.
    pub execution: ExecutionId,
    /// Which attempt.
    pub attempt: i32,
    /// The consumer's process id.
    pub pid: u32,
    /// The machine's time.
    pub time: Time,
}

/// Compares everything that was recorded for one tenant with all of its rows: each row's handler
/// started at most once, only after the row was claimed, and a success ran to its end.
pub fn check(tenant: TenantId, records: &[Record], rows: &[Execution]) -> Vec<Violation> {
    let rows: BTreeMap<ExecutionId, &Execution> = rows.iter().map(|row| (row.id, row)).collect();
    let mut found = Vec::new();
    let (mut started, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for record in records.iter().filter(|record| record.tenant == tenant) {
        let row = rows.get(&record.execution).copied();
        let mut wrong = |what: &str| {
            let proof: Vec<&Execution> = row.into_iter().collect();
            let what = format!("{what}: execution {}, process {}", record.execution, record.pid);
            found.push(Violation::new(Rule::Logged, record.job, what, &proof));
        };
        match row {
            None => wrong("a handler ran without a row"),
            Some(row) if row.worker.is_none() => {
                wrong("a handler ran on a row that was not claimed")
            }
            Some(row) if (row.job_id, row.attempt) != (record.job, record.attempt) => {
                wrong("a handler was given another job or attempt than its row has");
            }
            Some(_) => {}
        }
        match record.event.as_str() {
            "start" if !started.insert(record.execution) => wrong("a handler started twice"),
            "end" => {
                ended.insert(record.execution);
            }
            _ => {}
        }
    }
    for row in
        rows.values().filter(|row| row.status == Status::Success && started.contains(&row.id))
    {
        if !ended.contains(&row.id) {
            let what = "a success whose handler did not run to its end";
            found.push(Violation::new(Rule::Logged, row.job_id, what, &[row]));
        }
    }
    found
}

/// The highest number of handlers that ran at the same time, by process id.
pub fn most_at_once(records: &[Record]) -> BTreeMap<u32, usize> {
    let mut running: BTreeMap<u32, usize> = BTreeMap::new();
    let mut most: BTreeMap<u32, usize> = BTreeMap::new();
    for record in records {
        let running = running.entry(record.pid).or_default();
        match record.event.as_str() {
            "start" => *running += 1,
            "end" => *running = running.saturating_sub(1),
            _ => {}
        }
        let most = most.entry(record.pid).or_default();
        *most = (*most).max(*running);
    }
    most
}
