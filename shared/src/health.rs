//! How a tenant's database is doing, seen from this process: a breaker that keeps others from
//! waiting for it, and says why.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{BootTime, Clock};
use crate::random::Random;
use crate::reconnect::Reconnect;
use crate::store::{StoreError, chain};

/// The shortest and longest time that an ailing database is left alone.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A database that takes longer than this for one answer is served apart from the others.
const SLOW: Duration = Duration::from_millis(500);

/// One tenant's breaker.
pub struct Health {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    /// Why the last try failed; none while the database answers.
    reason: Option<String>,
    /// When it may be tried again.
    retry_at: BootTime,
    /// How long the last answer took.
    latency: Duration,
    waits: Reconnect,
}

impl Health {
    /// Of a database that nobody has asked anything yet.
    pub fn new(clock: Clock) -> Health {
        Health::spread_by(clock, Random::system())
    }

    /// The same, with random numbers of the caller's.
    pub fn spread_by(clock: Clock, random: Random) -> Health {
        let waits = Reconnect::spread_by(WAITS.0, WAITS.1, random);
        let (retry_at, latency) = (BootTime::ZERO, Duration::ZERO);
        Health { clock, state: Mutex::new(State { reason: None, retry_at, latency, waits }) }
    }

    /// How long the database is to be left alone; zero when it may be asked now.
    pub fn leave_alone(&self) -> Duration {
        let state = self.state();
        match state.reason {
            Some(_) => state.retry_at - self.clock.boot_time(),
            None => Duration::ZERO,
        }
    }

    /// Whether the last try failed or took long, so that healthy tenants must not wait behind.
    pub fn is_ailing(&self) -> bool {
        let state = self.state();
        state.reason.is_some() || state.latency > SLOW
    }

    /// Why the database cannot be used, if it cannot.
    pub fn reason(&self) -> Option<String> {
        self.state().reason.clone()
    }

    /// The database answered within `latency`. Logged when it hadn't before.
    pub fn succeeded(&self, tenant: &str, latency: Duration) {
        let mut state = self.state();
        state.latency = latency;
        if state.reason.take().is_some() {
            state.waits.reset();
            drop(state);
            info!(tenant, "the tenant's database answers again");
        }
    }

    /// The database failed. Logged when the reason is a new one. A refusal of data is no failure.
    pub fn failed(&self, tenant: &str, error: &StoreError) {
        if matches!(error, StoreError::Refused(_) | StoreError::Conflict(_)) {
            return;
        }
        let reason = chain(error);
        let mut state = self.state();
        let wait = state.waits.next_wait();
        state.retry_at = self.clock.boot_time() + wait;
        let known = state.reason.as_ref() == Some(&reason);
        state.reason = Some(reason.clone());
        drop(state);
        if !known {
            warn!(tenant, "the tenant's database cannot be used, trying on: {reason}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_failure_opens_the_breaker_and_a_success_closes_it() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let health = Health::new(Clock::Manual(manual.clone()));
        assert!(!health.is_ailing() && health.leave_alone().is_zero());
        health.failed("acme", &StoreError::Slow(7));
        assert!(health.is_ailing() && !health.leave_alone().is_zero());
        assert_eq!(health.reason().unwrap(), "the database did not answer within 7 s");
        manual.advance(Duration::from_secs(2));
        assert!(health.is_ailing() && health.leave_alone().is_zero(), "it may be tried again");
        health.succeeded("acme", Duration::from_millis(3));
        assert!(!health.is_ailing());
        health.succeeded("acme", Duration::from_millis(900));
        assert!(health.is_ailing() && health.leave_alone().is_zero(), "slow is served apart");
    }

    #[test]
    fn refused_data_says_nothing_about_the_database() {
        let health = Health::new(Clock::System);
        health.failed("acme", &StoreError::Refused(sqlx::Error::RowNotFound));
        assert!(!health.is_ailing());
    }
}
