//! The whole system in one thread, at the mercy of a seed: the real producers and consumers over
//! real SQLite files, with a clock, a network and databases that do what the seed says.
//!
//! A run is a sequence of steps. In each, either one move goes through the gate of some process's
//! store, or its answer does, or fails to; or a message arrives, late, twice or never; or time goes
//! on; or a process dies, stops or starts; or people change something. After each step the judge
//! looks at what changed. In the end faults are healed, and all that was begun must come to its
//! end. The same seed always takes the same course.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod chance;
mod faults;
mod handlers;
mod judge;
mod process;
mod scenario;
mod world;

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::clock::Clock;
use world::World;

/// How many steps a seed takes before faults end.
const STEPS: usize = 700;

/// Runs one seed; answers with its trace, and with what was wrong.
fn run(seed: u64) -> (Vec<String>, Result<(), String>) {
    let mut world = World::new(seed);
    world.settle();
    let verdict = (0..STEPS).try_for_each(|_| world.step()).and_then(|()| world.heal());
    (world.trace, verdict)
}

#[expect(clippy::print_stderr, reason = "the trace of a failure is what one needs")]
fn check(seed: u64) {
    let (trace, verdict) = run(seed);
    if let Err(what) = verdict {
        eprintln!("{}\n\nseed {seed}: {what}\n\nagain: make sim SEED={seed}", trace.join("\n"));
        panic!("seed {seed} failed");
    }
}

#[expect(clippy::disallowed_methods, reason = "a seed is chosen by the environment")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Shares the seeds out among threads, and goes on past those that fail.
#[test]
#[ignore = "by hand: make sim SEED=… N=…"]
#[expect(clippy::print_stdout, reason = "how fast it is decides how many seeds one can afford")]
fn seeds_by_hand() {
    let (first, count) = (setting("SEED", 1), setting("N", 1));
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let begun = Clock::System.boot_time();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count as usize) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if std::panic::catch_unwind(|| check(seed)).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let took = (Clock::System.boot_time() - begun).as_secs_f64();
    println!("{count} seeds in {took:.1} s, {:.1} a second", count as f64 / took);
    assert!(failed.lock().unwrap().is_empty(), "failed: {failed:?}");
}

/// As many as a minute allows; `make sim N=…` runs more.
const SEEDS: u64 = 200;

#[test]
fn even_seeds_keep_the_promise() {
    (0..SEEDS).step_by(2).for_each(check);
}

#[test]
fn odd_seeds_keep_the_promise() {
    (1..SEEDS).step_by(2).for_each(check);
}

/// Each has shown something that was wrong.
#[test]
fn telling_seeds_keep_the_promise() {
    [292, 10_036, 10_154].into_iter().for_each(check);
}

#[test]
fn the_same_seed_takes_the_same_course() {
    for seed in [1, 2, 3] {
        let ((one, _), (two, _)) = (run(seed), run(seed));
        let differs = one.iter().zip(&two).position(|(one, two)| one != two);
        assert_eq!(differs.map(|at| (at, &one[at], &two[at])), None, "of seed {seed}");
        assert_eq!(one.len(), two.len());
    }
}
