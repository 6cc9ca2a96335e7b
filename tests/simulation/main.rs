//! A deterministic simulation of the whole system in one thread: the real producers and consumers over
//! real SQLite files, with a clock, a network and databases that a seed controls.
//!
//! A run is a sequence of steps. In each, a move passes the gate of a process's store, or its answer
//! does, or one of them is lost; or a message arrives, late, twice or never; or time passes; or a
//! process dies, pauses or starts; or people change something. After each step the judge checks what
//! has changed. In the end the faults stop, and everything must become final. A seed always produces
//! the same run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod chance;
mod faults;
mod handlers;
mod judge;
mod process;
mod scenario;
mod world;

use std::num::NonZero;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::clock::Clock;
use world::World;

/// How many steps a seed takes before faults end.
const STEPS: usize = 700;

/// Runs one seed. Returns its trace, and what was wrong.
fn run(seed: u64) -> (Vec<String>, Result<(), String>) {
    let mut world = World::new(seed);
    world.run_until_idle();
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

/// How many seeds one process runs: killed processes do not release all their resources at once.
const BATCH: u64 = 100;

/// Distributes the seeds among child processes, and goes on after failures.
#[test]
#[ignore = "by hand: make sim SEED=… N=…"]
#[expect(clippy::print_stdout, reason = "how fast it is decides how many seeds one can afford")]
fn seeds_by_hand() {
    let (first, count) = (setting("SEED", 1), setting("N", 1));
    let begun = Clock::System.boot_time();
    let failed = if count <= BATCH { run_seeds(first, count) } else { run_batches(first, count) };
    let took = (Clock::System.boot_time() - begun).as_secs_f64();
    println!("seeds {first} to {}: {:.1} a second", first + count - 1, count as f64 / took);
    assert!(failed.is_empty(), "failed, or seeds of these batches did: {failed:?}");
}

/// Returns the seeds that failed.
fn run_seeds(first: u64, count: u64) -> Vec<u64> {
    let fails = |seed: &u64| std::panic::catch_unwind(|| check(*seed)).is_err();
    (first..first + count).filter(fails).collect()
}

/// Returns the first seeds of the batches that failed.
fn run_batches(first: u64, count: u64) -> Vec<u64> {
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let run_until_none_is_left = || {
        loop {
            let batch = next.fetch_add(BATCH, Ordering::Relaxed);
            if batch >= first + count {
                return;
            }
            let size = BATCH.min(first + count - batch);
            let done = Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--nocapture", "seeds_by_hand"])
                .envs([("SEED", batch.to_string()), ("N", size.to_string())])
                .status();
            if !done.unwrap().success() {
                failed.lock().unwrap().push(batch);
            }
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        (0..processors).for_each(|_| drop(scope.spawn(run_until_none_is_left)));
    });
    failed.into_inner().unwrap()
}

/// As many as fit into a minute; `make sim N=…` runs more.
const SEEDS: u64 = 200;

#[test]
fn even_seeds_keep_the_promise() {
    (0..SEEDS).step_by(2).for_each(check);
}

#[test]
fn odd_seeds_keep_the_promise() {
    (1..SEEDS).step_by(2).for_each(check);
}

/// Each of these once found a bug.
#[test]
fn regression_seeds_keep_the_promise() {
    [292, 10_036, 10_154, 20_450, 20_452, 20_624, 25_967, 48_146].into_iter().for_each(check);
}

#[test]
fn the_same_seed_produces_the_same_run() {
    for seed in [1, 2, 3] {
        let ((one, _), (two, _)) = (run(seed), run(seed));
        let differs = one.iter().zip(&two).position(|(one, two)| one != two);
        assert_eq!(differs.map(|at| (at, &one[at], &two[at])), None, "of seed {seed}");
        assert_eq!(one.len(), two.len());
    }
}
