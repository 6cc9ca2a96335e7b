//! Processor time and memory of processes, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::Sample;

/// Processor time so far, and memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and kernel mode, all threads, in steps of the kernel's tick (10 ms).
    pub cpu: Duration,
    /// Resident memory in bytes. Shared pages are counted once per process.
    pub rss: u64,
    /// How many processes it is the memory of.
    pub processes: u32,
}

/// The rate, and the processor time per job of PostgreSQL, RabbitMQ and our own processes.
pub fn costs(jobs: u32, seconds: f64, before: &[Usage; 3], after: &[Usage; 3]) -> Sample {
    let used = |n: usize| (after[n] - before[n]).cpu.as_secs_f64() * 1e6 / f64::from(jobs);
    vec![
        ("jobs/s", f64::from(jobs) / seconds),
        ("PostgreSQL us/job", used(0)),
        ("RabbitMQ us/job", used(1)),
        ("own us/job", used(2)),
        ("all us/job", used(0) + used(1) + used(2)),
        ("RSS MB/process", after[2].rss as f64 / 1e6 / f64::from(after[2].processes)),
    ]
}

impl Usage {
    /// The usage of a process without its running descendants. Zero for one that does not exist.
    pub fn of(pid: u32) -> Usage {
        let found = all_processes().find(|(other, _)| *other == pid);
        found.map(|(_, process)| process.usage).unwrap_or_default()
    }

    /// The usage of the running descendants of a process, `generation` steps below it: its children are the
    /// first.
    pub fn of_generation(root: u32, generation: usize) -> Usage {
        let processes: HashMap<u32, Process> = all_processes().collect();
        let parent = |pid: &u32| processes.get(pid).map(|process| process.parent);
        let is_it =
            |pid: u32| std::iter::successors(Some(pid), parent).nth(generation) == Some(root);
        let found = processes.iter().filter(|(pid, _)| is_it(**pid));
        found.map(|(_, process)| process.usage).sum()
    }

    /// The usage of a process, its running descendants, and those that have ended and were waited for.
    /// Zero for a process that does not exist.
    pub fn of_tree(root: u32) -> Usage {
        let processes: HashMap<u32, Process> = all_processes().collect();
        let in_tree = |pid: &u32| {
            let mut ancestors = std::iter::successors(Some(*pid), |pid| {
                processes.get(pid).map(|process| process.parent)
            });
            ancestors.any(|pid| pid == root)
        };
        let tree = processes.iter().filter(|(pid, _)| in_tree(pid));
        tree.map(|(_, process)| process.usage).sum()
    }
}

impl Add for Usage {
    type Output = Usage;
    /// The sum of both.
    fn add(self, other: Usage) -> Usage {
        Usage {
            cpu: self.cpu + other.cpu,
            rss: self.rss + other.rss,
            processes: self.processes + other.processes,
        }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Usage {
        usages.fold(Usage::default(), Add::add)
    }
}

impl Sub for Usage {
    type Output = Usage;
    /// The usage between two moments; memory and number of processes are the later ones.
    fn sub(self, before: Usage) -> Usage {
        Usage { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

struct Process {
    parent: u32,
    usage: Usage,
}

fn all_processes() -> impl Iterator<Item = (u32, Process)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        // A process that has ended meanwhile counts in its parent.
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, process(&stat)?))
    })
}

/// Reads a line of `/proc/PID/stat` (proc(5) numbers its fields from 1).
fn process(stat: &str) -> Option<Process> {
    // The second field, the program's name, may contain anything, but ends with the last bracket.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
    let cpu = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
    let rss = field(24)? * rustix::param::page_size() as u64;
    Some(Process { parent: field(4)? as u32, usage: Usage { cpu, rss, processes: 1 } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_what_it_started_are_counted() {
        let before = Usage::of_tree(std::process::id());
        assert!(before.rss > 100_000);
        assert!(before.processes >= 1);
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", busy]).status().unwrap();
        assert!(status.success());
        let used = Usage::of_tree(std::process::id()) - before;
        assert!(used.cpu > Duration::from_millis(20), "{used:?}");
        assert_eq!(Usage::of_tree(u32::MAX), Usage::default());
    }

    #[test]
    fn a_process_name_with_brackets_and_spaces_is_parsed() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 100 20 3 4 20 0 1 0 5 1000 9 0";
        let read = process(line).unwrap();
        assert_eq!(read.parent, 3);
        let tick = 1000 / rustix::param::clock_ticks_per_second();
        assert_eq!(read.usage.cpu, Duration::from_millis(127 * tick));
        assert_eq!(read.usage.rss, 9 * rustix::param::page_size() as u64);
    }
}
