//! How the poll of a tenant has ended: what it found and did, or why there was none. Pure.

use std::time::Duration;

use shared::clock::{BootTime, Time, delta};
use shared::store::{ChangeToken, DbTime, PollSummary};

use crate::capacity::Pauses;
use crate::dispatcher::DispatchOutcome;
use crate::rescuer;
use crate::sweeper::{self, SweepOutcome};

/// For how long the summary of a poll may be reused while full batches are dispatched: to count what is
/// open may mean to read thousands of rows.
const REUSE_FOR: Duration = Duration::from_millis(250);

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
        match self {
            PollResult::Polled(facts) => facts.remaining() == Remaining::QueuesFull,
            PollResult::QueuesFull(..) => true,
            _ => false,
        }
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

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of the tenant's database.
    pub db: DbTime,
    /// Boot time.
    pub boot: BootTime,
}

impl Moment {
    /// The boot time at which the tenant's database shows `time`.
    fn boot_time_of(&self, time: Time) -> BootTime {
        self.boot + (time - self.db).to_std().unwrap_or_default()
    }
}

/// The summary of a tenant, and when it was read.
#[derive(Clone, Copy, Debug)]
pub struct ReadSummary {
    /// What there is to do.
    pub summary: PollSummary,
    /// When it was read.
    pub read_at: BootTime,
}

impl ReadSummary {
    /// Whether it may be reused at `now`.
    pub fn is_fresh(&self, now: BootTime) -> bool {
        now - self.read_at < REUSE_FOR
    }
}

/// What a poll has found and done.
#[derive(Clone, Debug)]
pub struct PollFacts {
    /// When the tenant was polled.
    pub polled_at: Moment,
    /// What there was to do.
    pub read: ReadSummary,
    /// Whether the summary is that of an earlier poll.
    pub is_reused: bool,
    /// Whether the tenant's jobs run; they don't while it is suspended.
    pub is_active: bool,
    /// Whether the tenant has a `max_running`, for which the open rows must be counted each time.
    pub is_limited: bool,
    /// How many rows were rescued.
    pub rescued: usize,
    /// Whether jobs were armed.
    pub armed: bool,
    /// Whether a notification was written.
    pub notified: bool,
    /// The dispatch.
    pub dispatch: DispatchOutcome,
    /// The sweep.
    pub sweep: SweepOutcome,
    /// When old history is pruned next; none: never.
    pub prune_at: Option<Time>,
    /// The tenant's change token from before the poll, if it has one.
    pub change_token: Option<ChangeToken>,
    /// How long the queues make the tenant pause.
    pub pauses: Pauses,
}

/// What is left to do after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
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
    pub fn remaining(&self) -> Remaining {
        let led_to_more = self.rescued > 0 || self.armed || self.notified;
        match (self.dispatch, self.sweep) {
            (DispatchOutcome::FullBatch, _) if !self.is_limited => Remaining::FullBatches,
            (DispatchOutcome::FullBatch | DispatchOutcome::More, _) => Remaining::More,
            (_, SweepOutcome::More) => Remaining::More,
            _ if led_to_more => Remaining::More,
            (DispatchOutcome::Burst, _) => Remaining::Burst,
            (DispatchOutcome::QueuesFull, _) | (_, SweepOutcome::QueuesFull) => {
                Remaining::QueuesFull
            }
            _ if self.is_reused => Remaining::Unknown,
            _ => Remaining::Nothing,
        }
    }

    /// Whether the tenant must be polled again at once. Pruning waits until it need not.
    pub fn is_urgent(&self) -> bool {
        matches!(self.remaining(), Remaining::FullBatches | Remaining::More | Remaining::Unknown)
    }

    /// Whether another pass may have something to do now.
    pub fn has_more(&self) -> bool {
        !matches!(self.remaining(), Remaining::QueuesFull | Remaining::Nothing)
    }

    /// Whether rows are dispatched, or wait for their turn.
    pub fn is_in_progress(&self) -> bool {
        self.read.summary.dispatched > 0 || self.read.summary.waiting > 0
    }

    /// Whether something should have been done by now, and was not.
    pub fn is_overdue(&self) -> bool {
        self.deadlines().any(|time| time <= self.polled_at.db)
    }

    /// Whether nothing is left to do, in progress or overdue.
    pub fn is_at_rest(&self) -> bool {
        self.remaining() == Remaining::Nothing && !self.is_in_progress() && !self.is_overdue()
    }

    /// The next time at which there is something to do, by the tenant's database; none: never.
    pub fn next_event(&self) -> Option<Time> {
        let prune_at = self.prune_at.filter(|_| self.is_active);
        // An overdue sweep waits for its queue, or for the longer silence of some row.
        let sweep_at = sweeper::next_at(&self.read.summary).filter(|_| self.is_active);
        let times = self.deadlines().chain(prune_at).chain(sweep_at);
        times.filter(|time| *time > self.polled_at.db).min()
    }

    /// How long until that time, at `now` in boot time.
    pub fn next_event_in(&self, now: BootTime) -> Option<Duration> {
        let at = self.polled_at.boot_time_of(self.next_event()?);
        Some(at - now)
    }

    /// When old history is pruned next.
    pub fn prune_at(&self) -> Option<BootTime> {
        let at = self.prune_at.filter(|_| self.is_active)?;
        Some(self.polled_at.boot_time_of(at))
    }

    /// The summary as the next dispatch will find it.
    pub fn summary_to_reuse(&self) -> ReadSummary {
        let mut read = self.read;
        read.summary.dispatch_no += 1;
        read
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
