//! What really ran, by the handlers' own word.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use shared::clock::Time;
use shared::id::{ExecutionId, JobId, TenantId};

/// A line that a `record` job wrote.
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
    /// In which process.
    pub pid: u32,
    /// When, by the machine's clock.
    pub time: Time,
}

/// Reads every whole line; the last may be half written.
pub(crate) fn read(file: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The most executions that ran at once, in each process.
pub fn most_at_once(records: &[Record]) -> BTreeMap<u32, usize> {
    let mut running: BTreeMap<u32, usize> = BTreeMap::new();
    let mut most: BTreeMap<u32, usize> = BTreeMap::new();
    for record in records {
        let running = running.entry(record.pid).or_default();
        match record.event.as_str() {
            "start" => *running += 1,
            "end" => *running -= 1,
            _ => {}
        }
        let most = most.entry(record.pid).or_default();
        *most = (*most).max(*running);
    }
    most
}
