//! The descendants of a launcher: signalling and reaping them.

use std::collections::HashMap;
use std::io;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, test_kill_process, wait,
};

use crate::system;

/// The most scans for new descendants before SIGKILL is sent.
const SCANS_MAX: usize = 100;

/// All descendants of this process, which is their subreaper.
pub(crate) struct Tree {
    /// Whether the kernel limits the signals of this process to its descendants.
    sealed: bool,
}

impl Tree {
    /// The tree of this process. `sealed`: a Landlock domain limits its signals to its descendants.
    /// This is verified with `outsider`, a process of the same user that is not a descendant.
    pub(crate) fn new(sealed: bool, outsider: Pid) -> Tree {
        Tree { sealed: sealed && test_kill_process(outsider) == Err(rustix::io::Errno::PERM) }
    }

    /// Sends a signal to all descendants.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.sealed {
            // Atomic: a process that is forking gets the signal before its child exists.
            return system::signal_everybody(signal);
        }
        if signal != Signal::KILL {
            return descendants().into_iter().for_each(|pid| send(pid, signal));
        }
        // Stop all of them first, because a stopped process cannot fork.
        let mut stopped = Vec::new();
        for _ in 0..SCANS_MAX {
            let found = descendants();
            let fresh: Vec<Pid> =
                found.iter().filter(|pid| !stopped.contains(*pid)).copied().collect();
            if fresh.is_empty() {
                break;
            }
            fresh.iter().for_each(|pid| send(*pid, Signal::STOP));
            stopped.extend(fresh);
        }
        descendants().into_iter().for_each(|pid| send(pid, Signal::KILL));
    }

    /// Reaps the children that have exited. Returns them, and whether any child is left.
    pub(crate) fn reap(&self) -> io::Result<(Vec<(Pid, WaitStatus)>, bool)> {
        let mut ended = Vec::new();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(child)) => ended.push(child),
                Ok(None) => return Ok((ended, true)),
                Err(rustix::io::Errno::CHILD) => return Ok((ended, false)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal); // it may have exited
}

/// All living descendants, found by parent process ids. Zombies are left out.
fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = living_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut to_visit = vec![getpid().as_raw_nonzero().get()];
    while let Some(pid) = to_visit.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(below.iter().copied().filter_map(Pid::from_raw));
        to_visit.extend(below);
    }
    found
}

/// The parent of a process, unless that process is a zombie.
fn living_parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?);
    if state == "Z" { None } else { parent.parse().ok() }
}
