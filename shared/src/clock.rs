//! The only place that reads a clock.
//!
//! There are three kinds of time, and each has a type. *Wall time* ([`Time`]) is what people and
//! tables read; others may set, step and slew it. *Boot time* ([`BootTime`]) only counts up, through
//! suspends too, and measures durations, leases and waits within this process. *Database time*
//! ([`DbTime`](crate::store::DbTime)) decides when a job is due; each store derives it from boot time
//! (`store/server_clock.rs`).
//!
//! A manual clock stands still until a test advances it, which also wakes the sleepers whose time has
//! come: a test or a simulation controls time entirely.

mod time;

use std::collections::BTreeMap;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::oneshot;

pub use time::{InvalidTime, OutOfRange, Time, cut, delta};

/// An instant of this machine's boot clock, which only counts up, through suspends too (Linux
/// `CLOCK_BOOTTIME`). It means nothing to another process or after a reboot, so it is never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(Duration);

impl BootTime {
    /// The moment of booting: before every reading of the clock.
    pub const ZERO: BootTime = BootTime(Duration::ZERO);

    /// How long after booting it is.
    pub fn since_boot(self) -> Duration {
        self.0
    }

    /// How long after `earlier` it is; zero if it is before.
    pub fn duration_since(self, earlier: BootTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = BootTime;
    /// Saturates instead of overflowing.
    fn add(self, duration: Duration) -> BootTime {
        BootTime(self.0.saturating_add(duration))
    }
}

impl Sub for BootTime {
    type Output = Duration;
    /// The same as [`BootTime::duration_since`].
    fn sub(self, earlier: BootTime) -> Duration {
        self.duration_since(earlier)
    }
}

/// Where the current time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// A clock that a test moves by hand.
    Manual(ManualClock),
}

impl Clock {
    /// Boot time, by which durations are measured.
    pub fn boot_time(&self) -> BootTime {
        BootTime(match self {
            Clock::System => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
            }
            Clock::Manual(manual) => manual.hands().since_start,
        })
    }

    /// Wall time, truncated to microseconds.
    pub fn wall_time(&self) -> Time {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
            Clock::System => cut(Time::nearest(Utc::now())),
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

/// A clock that stands still until [`ManualClock::advance`] moves it. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    started: Time,
    since_start: Duration,
    /// The sleepers by wake-up time. The sequence number breaks ties, for reproducible tests.
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
        let last_due = (hands.since_start, u64::MAX);
        let asleep = hands.sleepers.split_off(&last_due);
        for (_, sleeper) in std::mem::replace(&mut hands.sleepers, asleep) {
            let _ = sleeper.send(()); // the sleeper may have given up
        }
    }

    /// Steps wall time, as an administrator or NTP would. Boot time is not affected.
    pub fn step_wall_time(&self, by: TimeDelta) {
        let mut hands = self.hands();
        hands.started = cut(hands.started + by);
    }

    /// How long until the next sleeper wakes; none without sleepers.
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
            std::future::pending().await // the clock was dropped, so nothing can advance it
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        assert_eq!(clock.boot_time().since_boot(), Duration::from_secs(90));
        manual.step_wall_time(TimeDelta::hours(-1));
        assert_eq!(clock.boot_time().since_boot(), Duration::from_secs(90));
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
