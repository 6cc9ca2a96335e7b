//! The only place that reads a clock.
//!
//! Two clocks matter. *Wall time* says what o'clock it is and may be set, stepped and slewed by
//! others; *boot time* only ever counts up, through suspends too, and is what durations, leases
//! and agendas are measured by. Neither decides when a job is due: that is the time of the
//! tenant's own database, which each store derives from boot time (see `store/server_time.rs`).
//!
//! A manual clock stands still until a test moves it; whoever sleeps on it wakes when it has
//! been moved far enough. So a test or a simulation owns time entirely.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio::sync::watch;

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
            Clock::Manual(manual) => manual.read().since_start,
        }
    }

    /// Wall time, cut to microseconds.
    pub fn wall_time(&self) -> Time {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
            Clock::System => cut(Utc::now()),
            Clock::Manual(manual) => {
                let reading = manual.read();
                reading.started + delta(reading.since_start)
            }
        }
    }

    /// Returns once boot time has advanced by `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match self {
            Clock::System => tokio::time::sleep(duration).await,
            Clock::Manual(manual) => {
                let wake = self.boot_time() + duration;
                let mut readings = manual.0.subscribe();
                // The sender lives in `manual`, so waiting cannot fail.
                let _ = readings.wait_for(|reading| reading.since_start >= wake).await;
            }
        }
    }
}

/// A clock that stands still until [`ManualClock::advance`] moves it. Clones share one time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    started: Time,
    since_start: Duration,
}

impl ManualClock {
    /// A clock that shows `time`.
    pub fn new(time: Time) -> ManualClock {
        let reading = Reading { started: cut(time), since_start: Duration::ZERO };
        ManualClock(Arc::new(watch::Sender::new(reading)))
    }

    /// Moves both clocks forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|reading| reading.since_start += by);
    }

    /// Steps wall time, as an administrator or NTP would; boot time goes on undisturbed.
    pub fn step_wall_time(&self, by: TimeDelta) {
        self.0.send_modify(|reading| reading.started = cut(reading.started + by));
    }

    fn read(&self) -> Reading {
        *self.0.borrow()
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
