//! How long to wait before trying again what is outside: a broker, a tenant's database.
//!
//! This small file is all that knows the crate `backoff`, so that it can be exchanged. Retries of
//! jobs are something else: they are rows, and `retry.rs` spaces them.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use crate::random::Random;

/// Waits that grow from a first one to a longest one, each spread by half so that those who were
/// cut off together don't return together. They never end.
pub struct Reconnect {
    backoff: ExponentialBackoff,
    random: Random,
}

impl Reconnect {
    /// Waits from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Reconnect {
        Reconnect::spread_by(first, longest, Random::system())
    }

    /// The same, with random numbers of the caller's.
    pub fn spread_by(first: Duration, longest: Duration, random: Random) -> Reconnect {
        let mut backoff = ExponentialBackoff {
            initial_interval: first,
            max_interval: longest,
            multiplier: 2.0,
            // Spread below, by random numbers that a seed can repeat.
            randomization_factor: 0.0,
            // The crate would give up after a quarter of an hour.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        backoff.reset();
        Reconnect { backoff, random }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.backoff.next_backoff().unwrap_or(self.backoff.max_interval);
        wait.mul_f64(0.5 + self.random.unit())
    }

    /// To be called after a success: the next wait is a first one.
    pub fn reset(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_anew_after_a_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut reconnect = Reconnect::new(first, longest);
        let waits: Vec<Duration> = (0..50).map(|_| reconnect.next_wait()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first * 3 / 2, "{waits:?}");
        assert!(waits[20..].iter().all(|wait| *wait >= longest / 2 && *wait <= longest * 3 / 2));
        reconnect.reset();
        assert!(reconnect.next_wait() <= first * 3 / 2);
    }
}
