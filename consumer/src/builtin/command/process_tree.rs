//! A program and all its descendants, none of which may survive its execution.
//!
//! They are found in two ways: by the process group, which children inherit, and by a marker in the
//! environment, which they inherit even if they leave the group (`setsid`, a double fork). A process
//! that leaves the group *and* overwrites its environment, or runs as another user, escapes. Where
//! that matters, run the consumer in a cgroup or a container of its own. If the consumer itself is
//! killed, its programs run on until the next consumer with `command` starts on the machine.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::Child;
use tracing::warn;

use crate::Context;

/// The variable that names the execution.
const EXECUTION: &str = "POLYCHRON_EXECUTION";
/// The variable that names the consumer, by process id and start time.
const CONSUMER: &str = "POLYCHRON_CONSUMER";
/// How many times to search again, because a process may fork while others are killed.
const SCANS_MAX: usize = 10;

/// The environment variables that mark every process of an execution.
pub(super) fn markers(context: &Context) -> [(&'static str, String); 2] {
    [(EXECUTION, context.execution.to_string()), (CONSUMER, this_consumer())]
}

/// A program and all its descendants. Dropping this kills them.
pub(super) struct ProcessTree {
    group: Option<Pid>,
    /// The execution's id.
    marker: String,
}

impl ProcessTree {
    /// The tree of a program that was just started with [`markers`].
    pub(super) fn of(child: &Child, context: &Context) -> ProcessTree {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let marker = context.execution.to_string();
        ProcessTree { group: id.and_then(Pid::from_raw), marker }
    }

    /// Sends a signal to all of them. Processes that are gone already are ignored.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
        for pid in self.members() {
            let _ = kill_process(pid, signal);
        }
    }

    /// The processes of the group, and those with the marker.
    fn members(&self) -> Vec<Pid> {
        let group = self.group.map(|group| group.as_raw_nonzero().to_string());
        running(|process| {
            let in_group = group.is_some() && process.field(GROUP) == group;
            in_group || process.has_marker(&self.marker)
        })
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        for _ in 0..SCANS_MAX {
            let left = self.members();
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _ = kill_process(pid, Signal::KILL);
                // As process 1 of a container we inherit orphans and must reap them. The program
                // itself is reaped by tokio.
                if Some(pid) != self.group {
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
            }
            std::thread::yield_now();
        }
    }
}

/// Kills the programs that were left running by consumers that are gone.
pub(super) fn end_orphans() {
    let is_orphan = |process: &Process| {
        let consumer = process.variable(CONSUMER);
        consumer.is_some_and(|consumer| !is_alive(&consumer))
    };
    for pid in running(is_orphan) {
        warn!(pid = pid.as_raw_nonzero(), "killed a program whose consumer is gone");
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// `<pid>:<start>`, since the system reuses process ids.
fn this_consumer() -> String {
    let this = Process { pid: std::process::id() as i32 };
    format!("{}:{}", this.pid, this.field(START).unwrap_or_default())
}

/// Whether a consumer still runs. When in doubt, yes.
fn is_alive(consumer: &str) -> bool {
    let Some((pid, start)) = consumer.split_once(':') else { return true };
    let Ok(pid) = pid.parse() else { return true };
    Process { pid }.field(START).is_some_and(|found| found == start)
}

/// The fields of `/proc/<pid>/stat` (man proc), counted from the one after the name.
const STATE: usize = 0;
const GROUP: usize = 2;
const START: usize = 19;

/// A process, as `/proc` describes it.
struct Process {
    pid: i32,
}

impl Process {
    fn field(&self, at: usize) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name, in parentheses, may contain spaces and parentheses itself.
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

    fn has_marker(&self, execution: &str) -> bool {
        self.variable(EXECUTION).is_some_and(|found| found == execution)
    }
}

/// The running processes, other than this one and zombies, that meet a condition.
fn running(condition: impl Fn(&Process) -> bool) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let this = std::process::id() as i32;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != this)
        .map(|pid| Process { pid })
        .filter(|process| condition(process) && process.field(STATE).as_deref() != Some("Z"))
        .filter_map(|process| Pid::from_raw(process.pid))
        .collect()
}
