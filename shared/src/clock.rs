//! The only place that reads a clock.
//!
//! Two clocks matter. *Wall time* says what o'clock it is and may be set, stepped and slewed by
//! others; *boot time* only ever counts up, through suspends too, and is what durations, leases
//! and agendas are measured by. Neither decides when a job is due: that is the time of the
//! tenant's own database, which each store derives from boot time (see `store/server_time.rs`).
//!
//! A manual clock stands still until a test moves it; whoever sleeps on it wakes when it has
//! been moved far enough. So a test or a simulation owns time entirely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio::sync::oneshot;

/// An instant in UTC, cut to microseconds: what both databases can store.
pub type Time = DateTime<Utc>;

/// Where the current time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// A clock that a test moves by hand.
    Manual(ManualClock),
}

impl Clock {
    /// Time since the machine booted, suspends included (Linux `CLOCK_BOOTTIME`).
    pub fn boot_time(&self) -> Duration {
        match self {
            Clock::System => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
            }
            Clock::Manual(manual) => manual.hands().since_start,
        }
    }

    /// Wall time, cut to microseconds.
    pub fn wall_time(&self) -> Time {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
            Clock::System => cut(Utc::now()),
            Clock::Manual(manual) => {
                let hands = manual.hands();
                cut(hands.started + delta(hands.since_start))
            }
        }
    }

    /// Returns once boot time has advanced by `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match self {
            Clock::System => tokio::time::sleep(duration).await,
            Clock::Manual(manual) => manual.sleep(duration).await,
        }
    }
}

/// A clock that stands still until [`ManualClock::advance`] moves it. Clones share one time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    started: Time,
    since_start: Duration,
    /// Who sleeps, by when they wake and, of those who wake together, by who slept first: so that
    /// one and the same test always takes the same course.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    slept: u64,
}

impl Hands {
    fn put_to_sleep(&mut self, duration: Duration, sleeper: oneshot::Sender<()>) {
        self.slept += 1;
        self.sleepers.insert((self.since_start.saturating_add(duration), self.slept), sleeper);
    }
}

impl ManualClock {
    /// A clock that shows `time`.
    pub fn new(time: Time) -> ManualClock {
        let (started, since_start) = (cut(time), Duration::ZERO);
        let hands = Hands { started, since_start, sleepers: BTreeMap::new(), slept: 0 };
        ManualClock(Arc::new(Mutex::new(hands)))
    }

    /// Moves both clocks forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands();
        hands.since_start += by;
        let asleep = (hands.since_start, u64::MAX);
        let still = hands.sleepers.split_off(&asleep);
        for (_, sleeper) in std::mem::replace(&mut hands.sleepers, still) {
            let _ = sleeper.send(()); // who has given up need not know
        }
    }

    /// Steps wall time, as an administrator or NTP would; boot time goes on undisturbed.
    pub fn step_wall_time(&self, by: TimeDelta) {
        let mut hands = self.hands();
        hands.started = cut(hands.started + by);
    }

    /// How long until the next sleeper wakes; none if nobody sleeps.
    pub fn next_wake(&self) -> Option<Duration> {
        let mut hands = self.hands();
        hands.sleepers.retain(|_, sleeper| !sleeper.is_closed());
        let (wake, _) = hands.sleepers.first_key_value()?.0;
        Some(wake.saturating_sub(hands.since_start))
    }

    async fn sleep(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let (sleeper, woken) = oneshot::channel();
        self.hands().put_to_sleep(duration, sleeper);
        if woken.await.is_err() {
            std::future::pending().await // the clock is gone, and with it whoever could move it
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts an instant to microseconds, the resolution that both databases keep.
pub fn cut(time: Time) -> Time {
    time.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(time)
}

/// A duration as chrono writes it; one too long for chrono becomes the longest it has.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Time {
        "2026-11-24T12:00:00.123456789Z".parse().unwrap()
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_shows_microseconds() {
        let manual = ManualClock::new(noon());
        let clock = Clock::Manual(manual.clone());
        assert_eq!(clock.wall_time().to_rfc3339(), "2026-11-24T12:00:00.123456+00:00");
        manual.advance(Duration::from_secs(90));
        assert_eq!(clock.boot_time(), Duration::from_secs(90));
        manual.step_wall_time(TimeDelta::hours(-1));
        assert_eq!(clock.boot_time(), Duration::from_secs(90));
        assert_eq!(clock.wall_time().to_rfc3339(), "2026-11-24T11:01:30.123456+00:00");
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_manual_clock_reaches_its_time() {
        let manual = ManualClock::new(noon());
        let clock = Clock::Manual(manual.clone());
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(10)));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        manual.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        manual.advance(Duration::from_secs(1));
        sleep.await;
    }
}
