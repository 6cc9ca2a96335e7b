//! Whether the loops of this process go round: each has a [`Beat`], and the [`Pulse`] knows which
//! have been silent for too long.
//!
//! A process whose loops stand still does nothing and looks well from outside; somebody has to
//! restart it, and must be told. A loop beats each time round, at least every [`BEAT_EVERY`] while
//! nothing happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;

/// How often a loop with nothing to do goes round all the same.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A loop that hasn't beaten for this long is taken to stand still. Longer than every limit that
/// it may have to wait for, one after the other.
pub const SILENT_AFTER: Duration = Duration::from_secs(60);

/// A loop's sign of life: it counts up. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicU64>);

impl Beat {
    /// The loop has come round.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The loops of one process.
pub struct Pulse {
    clock: Clock,
    loops: Mutex<Vec<Followed>>,
}

struct Followed {
    name: &'static str,
    beat: Beat,
    /// The count when it was looked at last.
    seen: u64,
    /// When that count was seen first, in boot time.
    since: Duration,
}

/// A loop that stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Which one.
    #[serde(rename = "loop")]
    pub name: &'static str,
    /// For how long at least, in seconds.
    pub seconds: u64,
}

impl Pulse {
    /// Of a process that has no loops yet.
    pub fn new(clock: Clock) -> Pulse {
        Pulse { clock, loops: Mutex::default() }
    }

    /// Follows a loop from now on, by the name that health reports show.
    pub fn follow(&self, name: &'static str, beat: &Beat) {
        let (seen, since) = (beat.count(), self.clock.boot_time());
        let followed = Followed { name, beat: beat.clone(), seen, since };
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).push(followed);
    }

    /// Those that stand still. To be asked more often than [`SILENT_AFTER`]: a silence counts from
    /// the look that found the last beat.
    pub fn silent(&self) -> Vec<Silent> {
        let now = self.clock.boot_time();
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut silent = Vec::new();
        for followed in loops.iter_mut() {
            let count = followed.beat.count();
            if count != followed.seen {
                (followed.seen, followed.since) = (count, now);
            }
            let silence = now.saturating_sub(followed.since);
            if silence >= SILENT_AFTER {
                silent.push(Silent { name: followed.name, seconds: silence.as_secs() });
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_beats_again() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let pulse = Pulse::new(Clock::Manual(manual.clone()));
        let (rounds, refresh) = (Beat::default(), Beat::default());
        pulse.follow("rounds", &rounds);
        pulse.follow("refresh", &refresh);
        for _ in 0..12 {
            assert_eq!(pulse.silent(), []);
            manual.advance(BEAT_EVERY);
            refresh.beat();
        }
        assert_eq!(pulse.silent(), [Silent { name: "rounds", seconds: 60 }]);
        rounds.beat();
        assert_eq!(pulse.silent(), []);
    }
}
