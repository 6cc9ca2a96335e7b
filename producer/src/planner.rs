//! Plans one due job: which rows to insert for its occurrences, and its next time. Pure.
//!
//! The misfire policy is applied here, once, when an occurrence is first seen, and then the overlap
//! policy. Exactly one row accounts for each occurrence: one that runs, one that waits, or a skipped one
//! that says why. A row stands for `stands_for` occurrences: its own and those before it.
//!
//! While nothing may be dispatched (the queue is full, or the tenant is at its `max_running`), a due job
//! is held for a while: it stays in the jobs table, where it can still be edited and costs no row.

use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::execution::{ErrorKind, Status};
use shared::id::ExecutionId;
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::random::Random;
use shared::schedule::Schedule;
use shared::store::{Advance, DueJob, HOLD_GRACE_SECONDS, NewExecution};

/// The most missed occurrences of one job that `run_all` runs. A skipped row records the others.
pub const RUN_ALL_MAX: usize = 100;
/// The most occurrences of one job in one dispatch. The rest stays due.
const AT_ONCE_MAX: usize = 100;
/// How long a due job may be held while nothing can be dispatched.
pub const HOLD: Duration = Duration::from_secs(30);
/// The resolution of stored times.
const TIME_RESOLUTION: TimeDelta = TimeDelta::microseconds(1);

/// The plan of a due job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Hold it: nothing may be dispatched now, and it has not been due for long.
    Hold,
    /// Advance it to its next time, and insert these rows.
    Go(Advance, Vec<NewExecution>),
}

/// Whether a job is held, for which `free` rows may be dispatched now. Its schedule does not matter.
pub fn is_held(job: &DueJob, now: Time, free: u32) -> bool {
    // A job with a short grace is recorded at once, so that our own backlog does not turn it into a misfire.
    let may_be_held = job.misfire_grace_seconds >= HOLD_GRACE_SECONDS;
    free == 0 && may_be_held && now - job.next_run_at < delta(HOLD)
}

/// Plans one job. `free` is how many rows may be dispatched now; the planned ones are subtracted.
pub fn plan(job: &DueJob, schedule: &Schedule, now: Time, free: &mut u32, random: &Random) -> Plan {
    if is_held(job, now, *free) {
        return Plan::Hold;
    }
    let open = job.open > 0;
    // If every open row waits, the first one waits only for our own dispatch, so it does not count: the
    // overlap policy must not depend on our backlog.
    let in_turn = job.waiting - i64::from(job.waiting == job.open);
    let mut rows = Rows { job, now, free, random, open, waiting: in_turn > 0, rows: Vec::new() };
    let next_run_at = match first_that_is_not_over(job, schedule) {
        Some(first) => {
            // Occurrences before this instant are missed.
            let fresh_from = now - TimeDelta::seconds(job.misfire_grace_seconds.into());
            let last = (first < fresh_from)
                .then(|| missed(&mut rows, schedule, first, fresh_from - TIME_RESOLUTION));
            fresh(&mut rows, schedule, first, last)
        }
        None => None,
    };
    let advance =
        Advance { job: job.id, version: job.version, due_at: job.next_run_at, next_run_at };
    Plan::Go(advance, rows.rows)
}

/// The occurrence that is due. A `next_run_at` whose occurrence has a row is stale: that one is over.
fn first_that_is_not_over(job: &DueJob, schedule: &Schedule) -> Option<Time> {
    if job.over_until < job.next_run_at {
        return Some(job.next_run_at);
    }
    schedule.next_after(job.over_until)
}

/// Accounts for the missed occurrences, from `first` to `until`, and returns the last of them.
fn missed(rows: &mut Rows<'_>, schedule: &Schedule, first: Time, until: Time) -> Time {
    let latest = schedule.latest(first, until).unwrap_or(first);
    let count = schedule.count_from(first, until);
    match rows.job.misfire_policy {
        MisfirePolicy::RunOnce => rows.occurrence(latest, count),
        MisfirePolicy::Skip => {
            let late = format_delay(rows.now - latest);
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

/// The occurrence before `time`. The due one counts even if the schedule does not name it.
fn previous(schedule: &Schedule, time: Time, first: Time) -> Option<Time> {
    if time <= first {
        return None;
    }
    Some(schedule.prev_before(time).filter(|before| *before > first).unwrap_or(first))
}

/// Accounts for the occurrences after `last`, or from `first` on, up to now. Returns the job's next
/// time, which is in the past only if there are too many occurrences for one dispatch.
fn fresh(
    rows: &mut Rows<'_>,
    schedule: &Schedule,
    first: Time,
    last: Option<Time>,
) -> Option<Time> {
    let now = rows.now;
    let mut next = match last {
        Some(last) => schedule.next_after(last),
        None => Some(first),
    };
    for _ in 0..AT_ONCE_MAX {
        let Some(occurrence) = next.filter(|next| *next <= now) else { return next };
        if rows.would_skip() {
            // All that follow are skipped as well, so one row stands for them.
            let latest = schedule.latest(occurrence, now).unwrap_or(occurrence);
            let count = schedule.count_from(occurrence, now);
            rows.skip(latest, count, ErrorKind::Overlap, OVERLAPPED.to_owned());
            return schedule.next_after(now);
        }
        rows.occurrence(occurrence, 1);
        next = schedule.next_after(occurrence);
    }
    next
}

const OVERLAPPED: &str = "the run before it was not over";

/// Collects rows, and tracks what is open with them.
struct Rows<'a> {
    job: &'a DueJob,
    now: Time,
    free: &'a mut u32,
    random: &'a Random,
    /// Whether an attempt of this job is open.
    open: bool,
    /// Whether an occurrence of this job waits for an open one to end.
    waiting: bool,
    rows: Vec<NewExecution>,
}

impl Rows<'_> {
    /// Whether the overlap policy skips another occurrence.
    fn would_skip(&self) -> bool {
        match self.job.overlap_policy {
            OverlapPolicy::Allow => false,
            OverlapPolicy::Skip => self.open,
            OverlapPolicy::Queue => self.open && self.waiting,
        }
    }

    /// Adds an occurrence that runs, waits or is skipped, by the overlap policy.
    fn occurrence(&mut self, at: Time, stands_for: u64) {
        if self.would_skip() {
            self.skip(at, stands_for, ErrorKind::Overlap, OVERLAPPED.to_owned());
        } else {
            self.run(at, stands_for);
        }
    }

    /// Adds a missed occurrence that is never skipped. Unless the overlap policy is `allow`, missed
    /// occurrences run one at a time.
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

/// Formats a delay for people: whole seconds, two units at most.
fn format_delay(late: TimeDelta) -> String {
    let seconds = late.num_seconds().max(0).unsigned_abs();
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
