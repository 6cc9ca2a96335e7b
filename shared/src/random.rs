//! Random numbers, either from the system or from a seed, which makes a run reproducible.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// A source of random numbers. Clones share it.
#[derive(Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the system; different at every start.
    pub fn system() -> Random {
        Random::from(rand::make_rng())
    }

    /// The same sequence for the same seed.
    pub fn seeded(seed: u64) -> Random {
        Random::from(StdRng::seed_from_u64(seed))
    }

    fn from(source: StdRng) -> Random {
        Random(Arc::new(Mutex::new(source)))
    }

    /// A uniformly distributed number in `0..1`.
    pub fn unit(&self) -> f64 {
        self.with(|source| source.random())
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        self.with(|source| {
            let mut bytes = [0; N];
            source.fill_bytes(&mut bytes);
            bytes
        })
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A generator stays valid even if a thread panicked while using it.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_seeded_sequences_repeat() {
        let draw = |random: Random| (random.unit(), random.bytes::<10>());
        assert_eq!(draw(Random::seeded(7)), draw(Random::seeded(7)));
        assert_ne!(draw(Random::seeded(7)), draw(Random::seeded(8)));
        assert_ne!(draw(Random::system()), draw(Random::system()));
    }
}
