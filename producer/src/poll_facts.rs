//! What the poll of a tenant has found, and what it has left to do. Pure.

use shared::clock::{BootTime, Time};
use shared::store::{ChangeToken, DbTime, PollSummary};

use crate::dispatcher::Remaining;
use crate::{rescuer, sweeper};

/// What a poll has found, and what it has left to do.
#[derive(Debug)]
pub struct PollFacts {
    pub(crate) began_at: DbTime,
    pub(crate) summary: PollSummary,
    /// When the summary was read: before this poll, if it was reused.
    pub(crate) read_at: BootTime,
    pub(crate) remaining: Remaining,
    /// Whether the tenant's jobs run; they don't while it is suspended.
    pub(crate) is_active: bool,
    /// When old history is pruned next; none: never.
    pub(crate) prune_at: Option<Time>,
    /// The tenant's change token from before the poll, if it has one.
    pub(crate) change_token: Option<ChangeToken>,
}

impl PollFacts {
    /// Whether something should have been done by now, and was not.
    pub(crate) fn is_overdue(&self) -> bool {
        let is_unarmed = self.is_active && self.summary.has_unarmed;
        is_unarmed || self.deadlines().any(|time| time <= self.began_at)
    }

    /// Whether nothing is left to do, in progress or overdue.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.remaining == Remaining::Nothing && !self.summary.is_in_progress() && !self.is_overdue()
    }

    /// The next time at which there is something to do, by the tenant's database; none: never.
    pub(crate) fn next_event(&self) -> Option<Time> {
        // An overdue sweep waits for its queue, or for the longer silence of some row.
        let others = sweeper::next_at(&self.summary).into_iter().chain(self.prune_at);
        let events = self.deadlines().chain(others.filter(|_| self.is_active));
        events.filter(|time| *time > self.began_at).min()
    }

    /// Times by which something must be done.
    fn deadlines(&self) -> impl Iterator<Item = Time> {
        let due = [self.summary.next_due_at, self.summary.next_available_at];
        let due = due.into_iter().flatten().filter(|_| self.is_active);
        rescuer::next_at(&self.summary).into_iter().chain(due)
    }
}
