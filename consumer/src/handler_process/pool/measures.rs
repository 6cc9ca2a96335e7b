//! The metrics of a command's handler processes.

use shared::metrics::Instruments;

use super::state::Entry;
use super::{End, Pool};

/// The states of a process, as a label.
const STATES: [&str; 5] = ["starting", "idle", "busy", "silent", "ending"];

impl Pool {
    /// Sets the gauges.
    pub(crate) fn measure(&self, figures: &Instruments) {
        let state = self.state();
        for name in STATES {
            let count = state.processes.values().filter(|entry| state_of(entry) == name).count();
            let labels = [("command", self.label.clone()), ("state", name.to_owned())];
            figures.handler_processes.get_or_create(&labels).set(count as i64);
        }
        let held = state.processes.values().map(|entry| entry.taken).sum::<usize>();
        let labels = command(self);
        figures.handler_process_executions.get_or_create(&labels).set(held as i64);
        figures.handler_process_waiting.get_or_create(&labels).set(state.waiting.len() as i64);
    }
}

fn state_of(entry: &Entry) -> &'static str {
    match entry {
        entry if !entry.starts_executions() => "ending",
        Entry { offer: None, .. } => "starting",
        Entry { silent: true, .. } => "silent",
        Entry { taken: 0, .. } => "idle",
        _ => "busy",
    }
}

pub(super) fn command(pool: &Pool) -> [(&'static str, String); 1] {
    [("command", pool.label.clone())]
}

/// The labels of a process that has ended.
pub(super) fn end(pool: &Pool, end: &End) -> [(&'static str, String); 2] {
    let kind = match end {
        End::Stopped => "stopped",
        End::Crashed => "crash",
        End::Died(_) => "idle",
        End::Refused(_) => "refused",
    };
    [("command", pool.label.clone()), ("kind", kind.to_owned())]
}
