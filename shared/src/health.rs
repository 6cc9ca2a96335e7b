//! A circuit breaker for each tenant's database: it keeps other tenants from waiting for a failing
//! one, and records why it fails.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{BootTime, Clock};
use crate::random::Random;
use crate::reconnect::Reconnect;
use crate::store::{StoreError, chain};

/// The shortest and longest time that the breaker stays open.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A database with a higher latency is served separately from the others.
const SLOW: Duration = Duration::from_millis(500);

/// One tenant's breaker.
pub struct Health {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    /// Why the last attempt failed; none while the breaker is closed.
    reason: Option<String>,
    /// When the next attempt is allowed.
    retry_at: BootTime,
    /// How long the last response took.
    latency: Duration,
    waits: Reconnect,
}

impl Health {
    /// A closed breaker.
    pub fn new(clock: Clock) -> Health {
        Health::with_random(clock, Random::system())
    }

    /// The same, with jitter from `random`.
    pub fn with_random(clock: Clock, random: Random) -> Health {
        let waits = Reconnect::with_random(WAITS.0, WAITS.1, random);
        let (retry_at, latency) = (BootTime::ZERO, Duration::ZERO);
        Health { clock, state: Mutex::new(State { reason: None, retry_at, latency, waits }) }
    }

    /// How long the breaker stays open; zero if the database may be tried now.
    pub fn breaker_open_for(&self) -> Duration {
        let state = self.state();
        match state.reason {
            Some(_) => state.retry_at - self.clock.boot_time(),
            None => Duration::ZERO,
        }
    }

    /// Whether the last attempt failed or was slow. Healthy tenants must not wait behind such a one.
    pub fn is_ailing(&self) -> bool {
        let state = self.state();
        state.reason.is_some() || state.latency > SLOW
    }

    /// Why the database cannot be used; none if it can.
    pub fn reason(&self) -> Option<String> {
        self.state().reason.clone()
    }

    /// Records that the database answered within `latency`. Logs a recovery.
    pub fn succeeded(&self, tenant: &str, latency: Duration) {
        let mut state = self.state();
        state.latency = latency;
        if state.reason.take().is_some() {
            state.waits.reset();
            drop(state);
            info!(tenant, "the tenant's database answers again");
        }
    }

    /// Records that the database failed. Logs the reason if it is new. Rejected data is not a
    /// failure of the database.
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
            warn!(tenant, "the tenant's database cannot be used; retrying: {reason}");
        }
    }

    /// Records that another session keeps locked what is needed; nothing else is wrong with the database.
    /// Logs the reason if it is new.
    pub fn blocked(&self, tenant: &str, reason: String) {
        let mut state = self.state();
        state.retry_at = self.clock.boot_time() + WAITS.0;
        let known = state.reason.replace(reason.clone()) == Some(reason.clone());
        drop(state);
        if !known {
            warn!(tenant, "the tenant's jobs wait for another session; retrying: {reason}");
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
        assert!(!health.is_ailing() && health.breaker_open_for().is_zero());
        health.failed("acme", &StoreError::Slow(7));
        assert!(health.is_ailing() && !health.breaker_open_for().is_zero());
        assert_eq!(health.reason().unwrap(), "the database did not answer within 7 s");
        manual.advance(Duration::from_secs(2));
        assert!(
            health.is_ailing() && health.breaker_open_for().is_zero(),
            "the next attempt is allowed"
        );
        health.succeeded("acme", Duration::from_millis(3));
        assert!(!health.is_ailing());
        health.succeeded("acme", Duration::from_millis(900));
        assert!(
            health.is_ailing() && health.breaker_open_for().is_zero(),
            "a slow database is served separately"
        );
    }

    #[test]
    fn rejected_data_does_not_open_the_breaker() {
        let health = Health::new(Clock::System);
        health.failed("acme", &StoreError::Refused(sqlx::Error::RowNotFound));
        assert!(!health.is_ailing());
    }
}
