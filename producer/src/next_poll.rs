//! When a tenant is polled next, and what may spare it that poll. Pure: every rule is here, and each
//! has a row in the table test.

use std::time::Duration;

use shared::clock::BootTime;
use shared::random::Random;

use crate::capacity::Pauses;
use crate::planner::HOLD;
use crate::poll_interval::Intervals;
use crate::poll_result::{
    PollFacts, PollResult, ReadSummary, Remaining, STAYS_WARM_FOR, Unchanged,
};

/// While rows are dispatched or wait for their turn, the tenant is polled this often.
const IN_PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// What is overdue is tried again after this long.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// After a burst, jobs that keep coming due are dispatched together this often. A poll, a read and a
/// dispatch cost the database the same for one job as for a hundred.
const GATHER_FOR: Duration = Duration::from_millis(25);
/// A connection is opened this long before it is needed.
const WARM_UP: Duration = Duration::from_millis(100);
/// What the database refused as data, and a poll that panicked, is tried again after this long.
const REFUSED_AFTER: Duration = Duration::from_secs(30);
/// Tenants that wait for capacity ask for it in turn, one in this time.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// One of them in this time is polled although the queues are full: what comes due at it meanwhile must
/// be recorded in time.
const POLL_WAITING_EVERY: Duration = Duration::from_millis(50);
/// The shortest time between two such polls of one tenant.
const POLL_WAITING_MIN: Duration = Duration::from_secs(1);

/// When a tenant is polled next. The default: at once, and in full.
#[derive(Debug, Default)]
pub struct NextPoll {
    /// How long after the last poll has ended.
    pub wait: Duration,
    /// Why it may turn out then that no poll is needed.
    pub skip_if: SkipIf,
    /// A summary that the poll may use instead of reading one.
    pub(crate) reuse: Option<ReadSummary>,
}

/// What makes a poll unnecessary.
#[derive(Debug, Default)]
pub enum SkipIf {
    /// Nothing.
    #[default]
    Never,
    /// The tenant's database is as it was, and nothing is due soon.
    Unchanged(Unchanged),
    /// The queues are full, as they have been since the poll at `since`.
    QueuesFull {
        /// When the tenant was polled last.
        since: BootTime,
    },
}

/// What else decides when a tenant is polled next.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The time.
    pub now: BootTime,
    /// The tenant's poll intervals.
    pub intervals: Intervals,
    /// How many tenants wait for capacity, this one included.
    pub waiting_tenants: usize,
    /// Whether a wake for this tenant came during the poll.
    pub woken: bool,
    /// Whether the tenant was polled because all tenants were, at once.
    pub in_herd: bool,
    /// Spreads the tenants.
    pub jitter: Jitter,
}

/// Random numbers from 0 to 1 that spread tenants, lest thousands of them be polled at once.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// Of the interval, by a tenth.
    pub interval: f64,
    /// Of a herd, over the whole interval.
    pub herd: f64,
    /// Of the time for which change tokens are trusted, by half.
    pub trust: f64,
}

impl Jitter {
    /// Draws the numbers.
    pub fn draw(random: &Random) -> Jitter {
        Jitter { interval: random.unit(), herd: random.unit(), trust: random.unit() }
    }
}

/// Decides when a tenant is polled next.
pub fn next(result: PollResult, terms: &Terms) -> NextPoll {
    // Whoever sent the wake may know of a change that no change token shows yet.
    if terms.woken {
        return NextPoll::default();
    }
    match result {
        PollResult::Polled(facts) => after_poll(*facts, terms),
        PollResult::Unchanged(unchanged, due_in) => {
            let wait = wait_for_event(terms.intervals.probe, due_in, terms);
            NextPoll { wait, skip_if: SkipIf::Unchanged(unchanged), reuse: None }
        }
        PollResult::QueuesFull(since, pauses) => wait_for_capacity(since, pauses, terms),
        PollResult::Refused | PollResult::Panicked => after(REFUSED_AFTER),
        PollResult::Failed(retry_in) => after(retry_in),
    }
}

/// Whether a tenant that has waited for capacity for so long is polled although the queues are full.
pub fn polls_although_full(waited: Duration, waiting_tenants: usize) -> bool {
    waited >= (POLL_WAITING_EVERY * waiting_tenants as u32).clamp(POLL_WAITING_MIN, HOLD)
}

fn after_poll(facts: PollFacts, terms: &Terms) -> NextPoll {
    let refill = facts.pauses.refill;
    let mut next = match facts.remaining() {
        Remaining::FullBatches => {
            let mut read = facts.read;
            read.summary.dispatch_no += 1;
            return NextPoll { reuse: Some(read), ..after(refill) };
        }
        Remaining::More => return after(refill),
        Remaining::Unknown => return NextPoll::default(),
        Remaining::Nothing => return until_next_event(facts, terms),
        Remaining::Burst => after(refill.max(GATHER_FOR)),
        Remaining::QueuesFull => wait_for_capacity(terms.now, facts.pauses, terms),
    };
    // Neither a burst nor full queues delay pruning.
    next.wait = facts.prune_in(terms.now).map_or(next.wait, |prune_in| next.wait.min(prune_in));
    next
}

fn until_next_event(facts: PollFacts, terms: &Terms) -> NextPoll {
    let Intervals { poll, probe, trust } = terms.intervals;
    let interval = if facts.change_token.is_some() { probe } else { poll };
    let mut wait = wait_for_event(interval, facts.next_event_in(terms.now), terms);
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
        wait = wait.mul_f64(terms.jitter.herd);
    }
    let until = facts.next_event();
    let Some(token) = facts.change_token else { return after(wait) };
    let trusted_until =
        trust.map(|trust| terms.now + trust.mul_f64(0.5 + 0.5 * terms.jitter.trust));
    let skip_if = SkipIf::Unchanged(Unchanged { token, until, trusted_until });
    NextPoll { wait, skip_if, reuse: None }
}

fn wait_for_capacity(since: BootTime, pauses: Pauses, terms: &Terms) -> NextPoll {
    let turn = ASK_EVERY * terms.waiting_tenants as u32;
    let wait = pauses.retry.max(pauses.refill).max(turn);
    NextPoll { wait, skip_if: SkipIf::QueuesFull { since }, reuse: None }
}

/// Waits for the interval, or for what is due before; then the connection is opened a little early.
fn wait_for_event(interval: Duration, due_in: Option<Duration>, terms: &Terms) -> Duration {
    let interval = interval.mul_f64(1.0 - 0.1 * terms.jitter.interval);
    let wait = due_in.map_or(interval, |due_in| interval.min(due_in));
    if wait > STAYS_WARM_FOR { wait - WARM_UP } else { wait }
}

fn after(wait: Duration) -> NextPoll {
    NextPoll { wait, ..NextPoll::default() }
}

#[cfg(test)]
mod tests;
