//! How the poll of a tenant has ended: what it found and did, or why there was none. Pure.

use std::time::Duration;

use shared::clock::{BootTime, Time, delta};
use shared::store::{ChangeToken, DbTime, PollSummary};

use crate::capacity::Pauses;
use crate::dispatcher::DispatchOutcome;
use crate::rescuer;
use crate::sweeper::{self, SweepOutcome};

/// A connection that was used more recently than this is still open.
pub(crate) const STAYS_WARM_FOR: Duration = Duration::from_secs(4);

/// How a poll has ended.
#[derive(Debug)]
pub enum PollResult {
    /// The tenant was polled.
    Polled(Box<PollFacts>),
    /// It was not polled: its database is unchanged, and there is something to do in `due_in`.
    Unchanged(Unchanged, Option<Duration>),
    /// It was not polled: the queues have been full since its last poll.
    QueuesFull(BootTime, Pauses),
    /// The database refused a statement as data.
    Refused,
    /// The database cannot be used, and may be tried again after this long.
    Failed(Duration),
    /// The poll panicked.
    Panicked,
}

impl PollResult {
    /// Whether the tenant waits for capacity.
    pub fn waits_for_capacity(&self) -> bool {
        matches!(self, PollResult::QueuesFull(..))
            || matches!(self, PollResult::Polled(it) if it.remaining() == Remaining::QueuesFull)
    }
}

/// A tenant at rest.
#[derive(Debug)]
pub struct Unchanged {
    /// The change token from before the last poll.
    pub token: ChangeToken,
    /// When there will be something to do, by the tenant's database; none: never.
    pub until: Option<Time>,
    /// Until when an equal token replaces polls; none: without limit.
    pub trusted_until: Option<BootTime>,
}

impl Unchanged {
    /// Whether an equal token makes a poll unnecessary at `now`, if there is something to
    /// do in `due_in`. Shortly before that, the connection is opened whatever the token says.
    pub fn may_skip(&self, now: BootTime, due_in: Option<Duration>) -> bool {
        due_in.is_none_or(|due_in| due_in > STAYS_WARM_FOR)
            && self.trusted_until.is_none_or(|until| now < until)
    }
}

/// One moment, by the clock of the tenant's database and in boot time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) db: DbTime,
    pub(crate) boot: BootTime,
}

impl Moment {
    /// How long after `now` the tenant's database will show `time`.
    fn until(&self, time: Time, now: BootTime) -> Duration {
        self.boot + (time - self.db).to_std().unwrap_or_default() - now
    }
}

/// The summary of a tenant, and when it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadSummary {
    pub(crate) summary: PollSummary,
    pub(crate) read_at: BootTime,
}

/// What a poll has found and done.
#[derive(Clone, Debug)]
pub struct PollFacts {
    pub(crate) polled_at: Moment,
    pub(crate) read: ReadSummary,
    /// Whether the summary is that of an earlier poll.
    pub(crate) is_reused: bool,
    /// Whether the tenant's jobs run; they don't while it is suspended.
    pub(crate) is_active: bool,
    /// Whether the tenant has a `max_running`, for which the open rows must be counted each time.
    pub(crate) is_limited: bool,
    /// How many rows were rescued.
    pub(crate) rescued: usize,
    pub(crate) armed: bool,
    pub(crate) notified: bool,
    pub(crate) dispatch: DispatchOutcome,
    pub(crate) sweep: SweepOutcome,
    /// When old history is pruned next; none: never.
    pub(crate) prune_at: Option<Time>,
    /// The tenant's change token from before the poll, if it has one.
    pub(crate) change_token: Option<ChangeToken>,
    /// How long the queues make the tenant pause.
    pub(crate) pauses: Pauses,
}

/// What is left to do after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// More full batches.
    FullBatches,
    /// There may be more.
    More,
    /// Nothing, but more will be due in a moment.
    Burst,
    /// What is due waits until a queue has capacity.
    QueuesFull,
    /// It takes a new summary to tell.
    Unknown,
    /// Nothing is due.
    Nothing,
}

impl PollFacts {
    /// What is left to do; of several things, the most urgent.
    pub(crate) fn remaining(&self) -> Remaining {
        let led_to_more = self.rescued > 0 || self.armed || self.notified;
        match (self.dispatch, self.sweep) {
            (DispatchOutcome::FullBatch, _) if !self.is_limited => Remaining::FullBatches,
            (DispatchOutcome::FullBatch | DispatchOutcome::More, _) => Remaining::More,
            (_, SweepOutcome::More) => Remaining::More,
            _ if led_to_more => Remaining::More,
            (DispatchOutcome::Burst, _) => Remaining::Burst,
            (DispatchOutcome::QueuesFull, _) => Remaining::QueuesFull,
            (_, SweepOutcome::QueuesFull) => Remaining::QueuesFull,
            _ if self.is_reused => Remaining::Unknown,
            _ => Remaining::Nothing,
        }
    }

    /// Whether rows are dispatched, or wait for their turn.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.read.summary.dispatched > 0 || self.read.summary.waiting > 0
    }

    /// Whether something should have been done by now, and was not.
    pub(crate) fn is_overdue(&self) -> bool {
        self.deadlines().any(|time| time <= self.polled_at.db)
    }

    /// Whether nothing is left to do, in progress or overdue.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.remaining() == Remaining::Nothing && !self.is_in_progress() && !self.is_overdue()
    }

    /// The next time at which there is something to do, by the tenant's database; none: never.
    pub(crate) fn next_event(&self) -> Option<Time> {
        // An overdue sweep waits for its queue, or for the longer silence of some row.
        let others = [self.prune_at, sweeper::next_at(&self.read.summary)];
        let others = others.into_iter().flatten().filter(|_| self.is_active);
        self.deadlines().chain(others).filter(|time| *time > self.polled_at.db).min()
    }

    /// How long until that time, at `now` in boot time.
    pub(crate) fn next_event_in(&self, now: BootTime) -> Option<Duration> {
        self.next_event().map(|at| self.polled_at.until(at, now))
    }

    /// How long until old history is pruned next, at `now` in boot time.
    pub(crate) fn prune_in(&self, now: BootTime) -> Option<Duration> {
        self.prune_at.map(|at| self.polled_at.until(at, now))
    }

    /// Times by which something must be done.
    fn deadlines(&self) -> impl Iterator<Item = Time> {
        let summary = &self.read.summary;
        let lease = summary.next_lease_until.map(|until| until + delta(rescuer::GRACE));
        let due = [summary.next_due_at, summary.next_available_at];
        let due = due.into_iter().flatten().filter(|_| self.is_active);
        lease.into_iter().chain(due)
    }
}
