//! What the poll of a tenant has found and left to do. Pure.

use std::time::Duration;

use shared::clock::{BootTime, Time, delta};
use shared::store::{ChangeToken, DbTime, PollSummary};

use crate::dispatcher::Remaining;
use crate::{rescuer, sweeper};

/// The summary of a tenant, and when it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadSummary {
    pub(crate) summary: PollSummary,
    pub(crate) read_at: BootTime,
}

/// What a poll has found, and what it has left to do.
#[derive(Debug)]
pub struct PollFacts {
    /// When the poll began: by the tenant's database, and in boot time.
    pub(crate) began_at: (DbTime, BootTime),
    pub(crate) read: ReadSummary,
    pub(crate) remaining: Remaining,
    /// Whether the tenant's jobs run; they don't while it is suspended.
    pub(crate) is_active: bool,
    /// When old history is pruned next; none: never.
    pub(crate) prune_at: Option<Time>,
    /// The tenant's change token from before the poll, if it has one.
    pub(crate) change_token: Option<ChangeToken>,
}

impl PollFacts {
    /// Whether rows are dispatched, or wait for their turn.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.read.summary.dispatched > 0 || self.read.summary.waiting > 0
    }

    /// Whether something should have been done by now, and was not.
    pub(crate) fn is_overdue(&self) -> bool {
        self.deadlines().any(|time| time <= self.began_at.0)
    }

    /// Whether nothing is left to do, in progress or overdue.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.remaining == Remaining::Nothing && !self.is_in_progress() && !self.is_overdue()
    }

    /// The next time at which there is something to do, by the tenant's database; none: never.
    pub(crate) fn next_event(&self) -> Option<Time> {
        // An overdue sweep waits for its queue, or for the longer silence of some row.
        let others = sweeper::next_at(&self.read.summary).into_iter().chain(self.prune_at);
        let events = self.deadlines().chain(others.filter(|_| self.is_active));
        events.filter(|time| *time > self.began_at.0).min()
    }

    /// How long after `now` the tenant's database will show `time`.
    pub(crate) fn until(&self, time: Time, now: BootTime) -> Duration {
        let (db_time, boot_time) = self.began_at;
        boot_time + (time - db_time).to_std().unwrap_or_default() - now
    }

    /// Times by which something must be done.
    fn deadlines(&self) -> impl Iterator<Item = Time> {
        let summary = &self.read.summary;
        let lease = summary.next_lease_until.map(|until| until + delta(rescuer::GRACE));
        let due = summary.next_due_at.into_iter().chain(summary.next_available_at);
        lease.into_iter().chain(due.filter(|_| self.is_active))
    }
}
