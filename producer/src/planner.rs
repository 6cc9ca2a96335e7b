//! What one due job's occurrences come to: the rows to insert and the job's next time. Pure.
//!
//! Misfire is judged here, once, when an occurrence is first seen; overlap right after it. Every
//! occurrence is accounted for by exactly one row: one that runs, one that waits, or a skipped one
//! that says why; a row stands for `stands_for` occurrences, those up to and including its own.
//!
//! While nothing may be dispatched (the queue is full, or the tenant at its `max_running`), a due
//! job stays in its own table for a while, where it can still be edited and costs no row.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::execution::{ErrorKind, Status};
use shared::id::ExecutionId;
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::random::Random;
use shared::schedule::Schedule;
use shared::store::{Advance, DueJob, NewExecution};

/// The most missed occurrences of one job that `run_all` runs; the bound is put on record.
pub const RUN_ALL_MAX: usize = 100;
/// The most occurrences of one job that one dispatch takes; the rest stays due.
const AT_ONCE_MAX: usize = 100;
/// How long a job may stay due unseen on record, while nothing can be dispatched.
pub const HOLD: Duration = Duration::from_secs(30);
/// Jobs with less grace than this are never held. `read_due.sql` has the same number.
pub const HOLD_GRACE_SECONDS: i32 = 60;
/// The smallest step of time that is stored.
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// What a due job comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing may be dispatched now, and the job is young enough to stay due in its own table,
    /// where it can still be edited.
    Hold,
    /// It moves on.
    Go(Advance, Vec<NewExecution>),
}

/// Plans one job. `free` is how many rows may be dispatched now; what is dispatched is taken off.
pub fn plan(job: &DueJob, schedule: &Schedule, now: Time, free: &mut u32, random: &Random) -> Plan {
    // A job with little grace is put on record at once, lest our own backlog make it a misfire.
    let patient = job.misfire_grace_seconds >= HOLD_GRACE_SECONDS;
    if *free == 0 && patient && now - job.next_run_at < delta(HOLD) {
        return Plan::Hold;
    }
    let open = job.open > 0;
    // If all that is open waits, the first of it waits for room, or starts in this very move: none
    // but ourselves holds it up, and the policy is not to depend on our backlog.
    let in_turn = job.waiting - i64::from(job.waiting == job.open);
    let mut rows = Rows { job, now, free, random, open, waiting: in_turn > 0, rows: Vec::new() };
    // The first instant that is not too late.
    let fresh_from = now - TimeDelta::seconds(job.misfire_grace_seconds.into());
    let mut last = None;
    if job.next_run_at < fresh_from {
        last = Some(missed(&mut rows, schedule, fresh_from - TICK));
    }
    let next_run_at = fresh(&mut rows, schedule, last);
    let advance =
        Advance { job: job.id, version: job.version, due_at: job.next_run_at, next_run_at };
    Plan::Go(advance, rows.rows)
}

/// Accounts for the occurrences from the due one to `until`, which nobody saw in time; answers
/// with the last of them.
fn missed(rows: &mut Rows<'_>, schedule: &Schedule, until: Time) -> Time {
    let first = rows.job.next_run_at;
    let latest = schedule.latest(first, until).unwrap_or(first);
    let count = 1 + schedule.count(first, until);
    match rows.job.misfire_policy {
        MisfirePolicy::RunOnce => rows.occurrence(latest, count),
        MisfirePolicy::Skip => {
            let late = shown(rows.now - latest);
            let reason = format!(
                "first seen {late} late, after its grace of {} s",
                rows.job.misfire_grace_seconds
            );
            rows.skip(latest, count, ErrorKind::Misfire, reason);
        }
        MisfirePolicy::RunAll => {
            let mut run = vec![latest];
            while run.len() < RUN_ALL_MAX
                && let Some(before) = previous(schedule, run[run.len() - 1], first)
            {
                run.push(before);
            }
            run.reverse();
            let dropped = count - run.len() as u64;
            if dropped > 0 {
                let last_dropped = previous(schedule, run[0], first).unwrap_or(first);
                let reason =
                    format!("of {count} missed occurrences, only the latest {RUN_ALL_MAX} run");
                rows.skip(last_dropped, dropped, ErrorKind::Misfire, reason);
            }
            for occurrence in run {
                rows.catch_up(occurrence);
            }
        }
    }
    latest
}

/// The occurrence before `time`; the due one counts even if the schedule wouldn't name it.
fn previous(schedule: &Schedule, time: Time, first: Time) -> Option<Time> {
    if time <= first {
        return None;
    }
    Some(schedule.prev_before(time).filter(|before| *before > first).unwrap_or(first))
}

/// Accounts for the occurrences after `last`, or from the due one, up to now; answers with the
/// next one to wait for, which is not after now only if there are too many for one dispatch.
fn fresh(rows: &mut Rows<'_>, schedule: &Schedule, last: Option<Time>) -> Option<Time> {
    let now = rows.now;
    let mut next = match last {
        Some(last) => schedule.next_after(last),
        None => Some(rows.job.next_run_at),
    };
    for _ in 0..AT_ONCE_MAX {
        let Some(occurrence) = next.filter(|next| *next <= now) else { return next };
        if rows.would_skip() {
            // As will all that follow: one row stands for them.
            let latest = schedule.latest(occurrence, now).unwrap_or(occurrence);
            let count = 1 + schedule.count(occurrence, now);
            rows.skip(latest, count, ErrorKind::Overlap, OVERLAPPED.to_owned());
            return schedule.next_after(now);
        }
        rows.occurrence(occurrence, 1);
        next = schedule.next_after(occurrence);
    }
    next
}

const OVERLAPPED: &str = "the run before it was not over";

/// Collects rows, and knows what that leaves open.
struct Rows<'a> {
    job: &'a DueJob,
    now: Time,
    free: &'a mut u32,
    random: &'a Random,
    /// Whether an attempt of this job is open.
    open: bool,
    /// Whether an occurrence of this job waits until another is over.
    waiting: bool,
    rows: Vec<NewExecution>,
}

impl Rows<'_> {
    /// Whether the overlap policy leaves no place for another occurrence.
    fn would_skip(&self) -> bool {
        match self.job.overlap_policy {
            OverlapPolicy::Allow => false,
            OverlapPolicy::Skip => self.open,
            OverlapPolicy::Queue => self.open && self.waiting,
        }
    }

    /// An occurrence that runs, now or in its turn, or is skipped, as the overlap policy says.
    fn occurrence(&mut self, at: Time, stands_for: u64) {
        if self.would_skip() {
            self.skip(at, stands_for, ErrorKind::Overlap, OVERLAPPED.to_owned());
        } else {
            self.run(at, stands_for);
        }
    }

    /// A missed occurrence that runs whatever the overlap policy; unless that allows more, one at
    /// a time.
    fn catch_up(&mut self, at: Time) {
        self.run(at, 1);
    }

    fn run(&mut self, at: Time, stands_for: u64) {
        let in_turn = self.open && self.job.overlap_policy != OverlapPolicy::Allow;
        self.waiting |= in_turn;
        let status = if in_turn || *self.free == 0 {
            Status::Scheduled
        } else {
            *self.free -= 1;
            Status::Dispatched
        };
        self.open = true;
        self.push(at, status, stands_for, None);
    }

    fn skip(&mut self, at: Time, stands_for: u64, kind: ErrorKind, reason: String) {
        self.push(at, Status::Skipped, stands_for, Some((kind, reason)));
    }

    fn push(
        &mut self,
        scheduled_for: Time,
        status: Status,
        stands_for: u64,
        reason: Option<(ErrorKind, String)>,
    ) {
        let (error_kind, error_message) = reason.unzip();
        self.rows.push(NewExecution {
            id: ExecutionId::new(self.now, self.random),
            job: self.job.id,
            scheduled_for,
            status,
            stands_for: i32::try_from(stands_for).unwrap_or(i32::MAX),
            error_kind,
            error_message,
        });
    }
}

/// A lateness for people: whole seconds, two units at most.
fn shown(late: TimeDelta) -> String {
    let seconds = late.num_seconds().max(0).unsigned_abs();
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
