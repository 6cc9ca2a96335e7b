//! Decides when a tenant is polled next, and what may make that poll unnecessary (`skip_if.rs`). Pure:
//! every rule has a row in the table test.

mod skip_if;

use std::time::Duration;

use shared::clock::BootTime;

use crate::capacity::Pauses;
use crate::dispatcher::Remaining;
use crate::poll_facts::{PollFacts, ReadSummary};
use crate::poll_interval::Intervals;

use self::skip_if::STAYS_WARM_FOR;
pub use self::skip_if::SkipIf;

/// While rows are dispatched or wait for their turn, the tenant is polled this often.
const IN_PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Overdue work is retried after this long.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// After a burst, jobs that keep coming due are dispatched together this often. A poll, a read and a
/// dispatch cost the database the same for one job as for a hundred.
const GATHER_FOR: Duration = Duration::from_millis(25);
/// A connection is opened this long before it is needed.
const WARM_UP: Duration = Duration::from_millis(100);
/// The delay after a poll whose data the database refused, and after one that panicked.
const REFUSED_AFTER: Duration = Duration::from_secs(30);
/// Tenants that wait for capacity ask for it in turn, one in each of these intervals.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// How a poll has ended.
#[derive(Debug)]
pub enum PollResult {
    /// The tenant was polled.
    Polled(Box<PollFacts>),
    /// The poll was skipped for this reason; for an unchanged tenant, with the time until its next
    /// event.
    Skipped(SkipIf, Option<Duration>),
    /// The database refused a statement as data.
    Refused,
    /// The database cannot be used, and may be tried again after this long.
    Failed(Duration),
    /// The poll panicked.
    Panicked,
}

/// When a tenant is polled next. The default: at once, and in full.
#[derive(Debug, Default)]
pub struct NextPoll {
    /// How long after the last poll has ended.
    pub wait: Duration,
    /// What may make that poll unnecessary.
    pub skip_if: SkipIf,
    /// A summary that the poll may use instead of reading one.
    pub(crate) reuse: Option<ReadSummary>,
}

/// What else decides when a tenant is polled next.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The time.
    pub now: BootTime,
    /// The tenant's poll intervals.
    pub intervals: Intervals,
    /// How long the queues make tenants pause.
    pub pauses: Pauses,
    /// How many tenants wait for capacity, this one included.
    pub waiting_tenants: usize,
    /// Whether a wake for this tenant came during the poll.
    pub woken: bool,
    /// Whether the tenant was polled because all tenants were, at once.
    pub in_herd: bool,
    /// A random number from 0 to 1. It spreads thousands of tenants over time.
    pub jitter: f64,
}

/// Decides when a tenant is polled next.
pub fn next(result: PollResult, terms: &Terms) -> NextPoll {
    // Whoever sent the wake may know of a change that no change token shows yet.
    if terms.woken {
        return NextPoll::default();
    }
    match result {
        PollResult::Polled(facts) => after_poll(*facts, terms),
        PollResult::Skipped(SkipIf::QueuesFull { since }, _) => wait_for_capacity(since, terms),
        PollResult::Skipped(skip_if, due_in) => {
            let interval = terms.intervals.probe.unwrap_or(terms.intervals.poll);
            let wait = wait_for_event(interval, due_in, terms);
            NextPoll { wait, skip_if, reuse: None }
        }
        PollResult::Refused | PollResult::Panicked => after(REFUSED_AFTER),
        PollResult::Failed(retry_in) => after(retry_in),
    }
}

fn after_poll(facts: PollFacts, terms: &Terms) -> NextPoll {
    let refill = terms.pauses.refill;
    let mut next = match facts.remaining {
        Remaining::FullBatches => {
            let mut read = facts.read;
            read.summary.dispatch_no += 1;
            return NextPoll { reuse: Some(read), ..after(refill) };
        }
        Remaining::More => return after(refill),
        Remaining::Unknown => return NextPoll::default(),
        Remaining::Nothing => return until_next_event(facts, terms),
        Remaining::Burst => after(refill.max(GATHER_FOR)),
        Remaining::QueuesFull => wait_for_capacity(terms.now, terms),
    };
    // Neither a burst nor full queues delay pruning.
    if let Some(prune_at) = facts.prune_at {
        next.wait = next.wait.min(facts.until(prune_at, terms.now));
    }
    next
}

fn until_next_event(facts: PollFacts, terms: &Terms) -> NextPoll {
    let Intervals { poll, probe, trust } = terms.intervals;
    let interval = probe.filter(|_| facts.change_token.is_some()).unwrap_or(poll);
    let until = facts.next_event();
    let due_in = until.map(|until| facts.until(until, terms.now));
    let mut wait = wait_for_event(interval, due_in, terms);
    if facts.is_in_progress() {
        wait = wait.min(IN_PROGRESS_EVERY);
    }
    if facts.is_overdue() {
        wait = wait.min(OVERDUE_AFTER);
    }
    if !facts.is_at_rest() {
        return after(wait);
    }
    if terms.in_herd {
        wait = wait.mul_f64(terms.jitter);
    }
    let Some(token) = facts.change_token else { return after(wait) };
    let trusted_until = trust.map(|trust| terms.now + trust.mul_f64(0.5 + 0.5 * terms.jitter));
    let skip_if = SkipIf::Unchanged { token, until, trusted_until };
    NextPoll { wait, skip_if, reuse: None }
}

fn wait_for_capacity(since: BootTime, terms: &Terms) -> NextPoll {
    let turn = ASK_EVERY * terms.waiting_tenants as u32;
    let wait = terms.pauses.retry.max(terms.pauses.refill).max(turn);
    NextPoll { wait, skip_if: SkipIf::QueuesFull { since }, reuse: None }
}

/// Waits for the interval, or for what is due before; then the connection is opened a little early.
fn wait_for_event(interval: Duration, due_in: Option<Duration>, terms: &Terms) -> Duration {
    let interval = interval.mul_f64(1.0 - 0.1 * terms.jitter);
    let wait = due_in.map_or(interval, |due_in| interval.min(due_in));
    if wait > STAYS_WARM_FOR { wait - WARM_UP } else { wait }
}

fn after(wait: Duration) -> NextPoll {
    NextPoll { wait, ..NextPoll::default() }
}

#[cfg(test)]
mod tests;
