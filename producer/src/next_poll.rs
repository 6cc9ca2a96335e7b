//! Decides when a tenant is polled next, and what may make that poll unnecessary. Pure: every rule has a
//! row in the table test.

use std::time::Duration;

use shared::clock::{BootTime, Time};
use shared::store::ChangeToken;

use crate::capacity::Pauses;
use crate::dispatcher::Remaining;
use crate::planner::HOLD;
use crate::poll_facts::PollFacts;
use crate::poll_interval::Intervals;

/// While rows are dispatched or wait for their turn, the tenant is polled this often.
const IN_PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Overdue work is retried after this long.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// After a burst, jobs that keep coming due are dispatched together this often. A poll, a read and a
/// dispatch cost the database the same for one job as for a hundred.
const GATHER_FOR: Duration = Duration::from_millis(25);
/// A connection that was used more recently than this is still open.
const STAYS_WARM_FOR: Duration = Duration::from_secs(4);
/// A connection is opened this long before it is needed.
const WARM_UP: Duration = Duration::from_millis(100);
/// The delay after a poll whose data the database refused, and after one that panicked.
const REFUSED_AFTER: Duration = Duration::from_secs(30);
/// Tenants that wait for capacity ask for it in turn, one in each of these intervals.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// In each of these intervals, one of them is polled although the queues are full, because what becomes
/// due there must be recorded in time; none is polled again within `POLL_WAITING_MIN`.
const POLL_WAITING_EVERY: Duration = Duration::from_millis(50);
const POLL_WAITING_MIN: Duration = Duration::from_secs(1);

/// How a poll has ended.
#[derive(Debug)]
pub enum PollResult {
    /// The tenant was polled.
    Polled(Box<PollFacts>),
    /// The poll was skipped for this reason.
    Skipped(SkipIf),
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
    /// What makes that poll unnecessary; none: nothing.
    pub skip_if: Option<SkipIf>,
    /// A poll whose summary may be used instead of reading one.
    pub reuse: Option<Box<PollFacts>>,
}

/// What makes a poll unnecessary.
#[derive(Debug)]
pub enum SkipIf {
    /// The tenant's database is unchanged, and nothing is due soon.
    Unchanged {
        /// The change token from before the last poll.
        token: ChangeToken,
        /// The next event, by the tenant's database; none: never.
        event: Option<Time>,
        /// Until when an unchanged token replaces polls; none: without limit.
        trusted_until: Option<BootTime>,
    },
    /// The queues are still full.
    QueuesFull {
        /// From when on the tenant is polled all the same.
        until: BootTime,
    },
}

/// What else decides when a tenant is polled next.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The time.
    pub now: BootTime,
    /// How long until the tenant's database shows a time.
    pub until: &'a dyn Fn(Time) -> Duration,
    /// The tenant's poll intervals.
    pub intervals: Intervals,
    /// How long the queues make tenants pause.
    pub pauses: Pauses,
    /// How many tenants wait for capacity, this one included.
    pub waiting_tenants: u32,
    /// How soon the tenant is polled again because a wake for it came during the poll.
    pub woken: Option<Duration>,
    /// Whether the tenant was polled because all tenants were, at once.
    pub in_herd: bool,
    /// A random number from 0 to 1. It spreads thousands of tenants over time.
    pub jitter: f64,
}

impl SkipIf {
    /// Whether a poll at `now` may be skipped, provided that the token is unchanged or the queues are still
    /// full. `until` says how long it is until the tenant's database shows a time.
    pub fn may_skip(&self, now: BootTime, until: impl Fn(Time) -> Duration) -> bool {
        match self {
            // Shortly before something is due, the connection is opened whatever the token says.
            SkipIf::Unchanged { event, trusted_until, .. } => {
                event.is_none_or(|event| until(event) > STAYS_WARM_FOR)
                    && trusted_until.is_none_or(|until| now < until)
            }
            SkipIf::QueuesFull { until } => now < *until,
        }
    }
}

/// Decides when a tenant is polled next.
pub fn next(result: PollResult, terms: &Terms) -> NextPoll {
    let next = match result {
        PollResult::Polled(facts) => after_poll(facts, terms),
        PollResult::Skipped(SkipIf::QueuesFull { until }) => wait_for_capacity(until, terms),
        PollResult::Skipped(skip_if @ SkipIf::Unchanged { event, .. }) => {
            let interval = terms.intervals.probe.unwrap_or(terms.intervals.poll);
            NextPoll { skip_if: Some(skip_if), ..after(wait_for_event(interval, event, terms)) }
        }
        PollResult::Refused | PollResult::Panicked => after(REFUSED_AFTER),
        PollResult::Failed(retry_in) => after(retry_in),
    };
    // Whoever sent the wake may know of a change that no change token shows yet.
    let Some(woken) = terms.woken else { return next };
    after(next.wait.min(woken))
}

fn after_poll(mut facts: Box<PollFacts>, terms: &Terms) -> NextPoll {
    let refill = terms.pauses.refill;
    let mut next = match facts.remaining {
        Remaining::FullBatches => {
            facts.summary.dispatch_no += 1;
            return NextPoll { reuse: Some(facts), ..after(refill) };
        }
        Remaining::More => return after(refill),
        Remaining::Unknown => return NextPoll::default(),
        Remaining::Nothing => return until_next_event(*facts, terms),
        Remaining::Burst => after(refill.max(GATHER_FOR)),
        Remaining::QueuesFull => wait_for_capacity(terms.now + HOLD, terms),
    };
    // Neither a burst nor full queues delay pruning.
    if let Some(prune_at) = facts.prune_at {
        next.wait = next.wait.min((terms.until)(prune_at));
    }
    next
}

fn until_next_event(facts: PollFacts, terms: &Terms) -> NextPoll {
    let Intervals { poll, probe, trust } = terms.intervals;
    let interval = probe.filter(|_| facts.change_token.is_some()).unwrap_or(poll);
    let event = facts.next_event();
    let mut wait = wait_for_event(interval, event, terms);
    if facts.is_overdue() {
        return after(wait.min(OVERDUE_AFTER));
    }
    if facts.summary.is_in_progress() {
        return after(wait.min(IN_PROGRESS_EVERY));
    }
    if terms.in_herd {
        wait = wait.mul_f64(terms.jitter);
    }
    let Some(token) = facts.change_token else { return after(wait) };
    let trusted_until = trust.map(|trust| terms.now + trust.mul_f64(0.5 + 0.5 * terms.jitter));
    let skip_if = Some(SkipIf::Unchanged { token, event, trusted_until });
    NextPoll { skip_if, ..after(wait) }
}

/// Asks for capacity in turn, and polls in turn without, at `latest` or before.
fn wait_for_capacity(latest: BootTime, terms: &Terms) -> NextPoll {
    let wait = terms.pauses.retry.max(terms.pauses.refill).max(ASK_EVERY * terms.waiting_tenants);
    let turn = (POLL_WAITING_EVERY * terms.waiting_tenants).max(POLL_WAITING_MIN);
    let until = latest.min(terms.now + turn);
    NextPoll { skip_if: Some(SkipIf::QueuesFull { until }), ..after(wait) }
}

/// Waits for the interval, or for what is due before; then the connection is opened a little early.
fn wait_for_event(interval: Duration, event: Option<Time>, terms: &Terms) -> Duration {
    let interval = interval.mul_f64(1.0 - 0.1 * terms.jitter);
    let wait = event.map_or(interval, |event| interval.min((terms.until)(event)));
    if wait > STAYS_WARM_FOR { wait - WARM_UP } else { wait }
}

fn after(wait: Duration) -> NextPoll {
    NextPoll { wait, ..NextPoll::default() }
}

#[cfg(test)]
mod tests;
