//! A program and whatever it has started, so that none of them survives its execution.
//!
//! Two ways to know them: the process group, which children inherit, and a mark in the
//! environment, which they inherit as well when they leave the group (`setsid`, a double fork).
//! The limit: a process that leaves the group *and* overwrites its environment, or runs as another
//! user, is not found. Where that matters, give the consumer a cgroup or a container of its own.
//! The consumer itself killed, its programs run on until the next consumer that knows `command`
//! starts on the machine and ends them.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::Child;
use tracing::warn;

use crate::Context;

/// Names the execution, in the environment of all its processes.
const EXECUTION: &str = "POLYCHRON_EXECUTION";
/// Names the consumer that runs it, by pid and start.
const CONSUMER: &str = "POLYCHRON_CONSUMER";
/// How often the marked are looked for again: one may be starting another just now.
const ROUNDS_MAX: usize = 10;

/// What every program of an execution is marked by.
pub(super) fn marks(context: &Context) -> [(&'static str, String); 2] {
    [(EXECUTION, context.execution.to_string()), (CONSUMER, this_consumer())]
}

/// A program with all its descendants. Dropping it kills them.
pub(super) struct Family {
    group: Option<Pid>,
    /// The execution's id.
    mark: String,
}

impl Family {
    /// That of a program that has just been started with [`marks`].
    pub(super) fn of(child: &Child, context: &Context) -> Family {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let mark = context.execution.to_string();
        Family { group: id.and_then(Pid::from_raw), mark }
    }

    /// Sends a signal to all of them. Those that are gone already don't mind.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
        for pid in self.members() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Those of the group, and those that carry the mark.
    fn members(&self) -> Vec<Pid> {
        let group = self.group.map(|group| group.as_raw_nonzero().to_string());
        living(|process| {
            let in_group = group.is_some() && process.field(GROUP) == group;
            in_group || process.has(&self.mark)
        })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let left = self.members();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
                // In a container whose first process we are, orphans are ours to bury; the
                // program itself is its starter's.
                if Some(pid) != self.group {
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
            }
            std::thread::yield_now();
        }
    }
}

/// Ends what consumers that are gone have left running.
pub(super) fn end_orphans() {
    let is_orphan = |process: &Process| {
        let consumer = process.variable(CONSUMER);
        consumer.is_some_and(|consumer| !is_alive(&consumer))
    };
    for pid in living(is_orphan) {
        warn!(pid = pid.as_raw_nonzero(), "a program whose consumer is gone is ended");
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// `<pid>:<start>`; a pid alone may have been given to somebody else since.
fn this_consumer() -> String {
    let this = Process { pid: std::process::id() as i32 };
    format!("{}:{}", this.pid, this.field(START).unwrap_or_default())
}

/// Whether a consumer still runs; when in doubt, it does.
fn is_alive(consumer: &str) -> bool {
    let Some((pid, start)) = consumer.split_once(':') else { return true };
    let Ok(pid) = pid.parse() else { return true };
    Process { pid }.field(START).is_some_and(|found| found == start)
}

/// The fields of `/proc/<pid>/stat` (man proc), counted from the one after the name.
const STATE: usize = 0;
const GROUP: usize = 2;
const START: usize = 19;

/// A process, by what `/proc` says of it.
struct Process {
    pid: i32,
}

impl Process {
    fn field(&self, at: usize) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name, in parentheses, may hold anything.
        let after_name = stat.rsplit_once(')')?.1;
        after_name.split_whitespace().nth(at).map(str::to_owned)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find_map(|variable| {
            let variable = String::from_utf8_lossy(variable);
            variable.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
        })
    }

    fn has(&self, execution: &str) -> bool {
        self.variable(EXECUTION).is_some_and(|found| found == execution)
    }
}

/// The processes that live, other than this one, and are as asked.
fn living(is_meant: impl Fn(&Process) -> bool) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let this = std::process::id() as i32;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != this)
        .map(|pid| Process { pid })
        .filter(|process| is_meant(process) && process.field(STATE).as_deref() != Some("Z"))
        .filter_map(|process| Pid::from_raw(process.pid))
        .collect()
}
