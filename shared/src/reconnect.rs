//! Exponential backoff for reconnecting to a broker or a database.
//!
//! Only this file uses the crate `backoff`, which keeps it easy to replace. Retries of jobs are
//! rows; `retry.rs` computes their delays.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use crate::random::Random;

/// An endless exponential backoff with ±50 % jitter: processes that lost their connections together
/// do not reconnect together.
pub struct Reconnect {
    backoff: ExponentialBackoff,
    random: Random,
}

impl Reconnect {
    /// A backoff that grows from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Reconnect {
        Reconnect::with_random(first, longest, Random::system())
    }

    /// The same, with jitter from `random`.
    pub fn with_random(first: Duration, longest: Duration, random: Random) -> Reconnect {
        let mut backoff = ExponentialBackoff {
            initial_interval: first,
            max_interval: longest,
            multiplier: 2.0,
            // Jitter is added below, from a generator that a test can seed.
            randomization_factor: 0.0,
            // By default the crate gives up after 15 minutes.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        backoff.reset();
        Reconnect { backoff, random }
    }

    /// The next wait, with jitter.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.backoff.next_backoff().unwrap_or(self.backoff.max_interval);
        wait.mul_f64(0.5 + self.random.unit())
    }

    /// Starts again from the first wait. Call it after a success.
    pub fn reset(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_until_a_reset() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut reconnect = Reconnect::new(first, longest);
        let waits: Vec<Duration> = (0..50).map(|_| reconnect.next_wait()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first * 3 / 2, "{waits:?}");
        assert!(waits[20..].iter().all(|wait| *wait >= longest / 2 && *wait <= longest * 3 / 2));
        reconnect.reset();
        assert!(reconnect.next_wait() <= first * 3 / 2);
    }
}
