//! Random choices from a seed.

use shared::random::Random;

pub(crate) trait Chance {
    /// A number below `n`; `n` is not 0.
    fn below(&self, n: usize) -> usize;
    /// True once in `n` times, on average.
    fn one_in(&self, n: usize) -> bool;
    /// One of them.
    fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T;
    /// True with this probability.
    fn happens(&self, probability: f64) -> bool;
}

impl Chance for Random {
    fn below(&self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn happens(&self, probability: f64) -> bool {
        self.unit() < probability
    }
}
