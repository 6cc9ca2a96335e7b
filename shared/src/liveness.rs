//! Detects stalled loops: each loop pings its [`Watchdog`], and [`Liveness`] lists the loops that
//! stopped pinging.
//!
//! A process with a stalled loop does no work but looks healthy from outside, so the liveness probe
//! must fail and have it restarted. A loop pings once per iteration, and at least every
//! [`PING_EVERY`] while idle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::{BootTime, Clock};

/// The longest that an idle loop waits before it pings again.
pub const PING_EVERY: Duration = Duration::from_secs(5);
/// A loop that has not pinged for this long is stalled. Longer than all limits it may have to wait
/// for, one after the other.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);

/// A loop's watchdog: a counter that the loop increments. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    /// Records that the loop has completed an iteration.
    pub fn ping(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The watchdogs of one process.
pub struct Liveness {
    clock: Clock,
    loops: Mutex<Vec<Watched>>,
}

struct Watched {
    name: &'static str,
    watchdog: Watchdog,
    /// The count at the last check.
    seen: u64,
    /// When that count was first seen.
    since: BootTime,
}

/// A stalled loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stalled {
    /// Which one.
    #[serde(rename = "loop")]
    pub name: &'static str,
    /// For how long at least, in seconds.
    pub seconds: u64,
}

impl Liveness {
    /// A process without loops yet.
    pub fn new(clock: Clock) -> Liveness {
        Liveness { clock, loops: Mutex::default() }
    }

    /// Watches a loop from now on, under the name that health reports show.
    pub fn watch(&self, name: &'static str, watchdog: &Watchdog) {
        let (seen, since) = (watchdog.count(), self.clock.boot_time());
        let watched = Watched { name, watchdog: watchdog.clone(), seen, since };
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
    }

    /// The stalled loops. Call it more often than [`STALLED_AFTER`]: a stall is counted from the call
    /// that saw the last ping.
    pub fn stalled(&self) -> Vec<Stalled> {
        let now = self.clock.boot_time();
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stalled = Vec::new();
        for watched in loops.iter_mut() {
            let count = watched.watchdog.count();
            if count != watched.seen {
                (watched.seen, watched.since) = (count, now);
            }
            let stalled_for = now - watched.since;
            if stalled_for >= STALLED_AFTER {
                stalled.push(Stalled { name: watched.name, seconds: stalled_for.as_secs() });
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_stalled_loop_is_listed_until_it_pings_again() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let liveness = Liveness::new(Clock::Manual(manual.clone()));
        let (poll, refresh) = (Watchdog::default(), Watchdog::default());
        liveness.watch("poll", &poll);
        liveness.watch("refresh", &refresh);
        for _ in 0..12 {
            assert_eq!(liveness.stalled(), []);
            manual.advance(PING_EVERY);
            refresh.ping();
        }
        assert_eq!(liveness.stalled(), [Stalled { name: "poll", seconds: 60 }]);
        poll.ping();
        assert_eq!(liveness.stalled(), []);
    }
}
