//! The producer's ticks, driven by hand: real SQLite files, the queue in the process, and a clock
//! that stands still until a test moves it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod dispatching;
mod lateness;
mod outage;
mod policies;
mod pruning;
mod recovering;
mod resting;
mod table;
