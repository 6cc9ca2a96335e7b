//! Polls, one by one: real SQLite files, a queue in the process, and a clock that only the test moves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod dispatching;
mod lateness;
mod outage;
mod policies;
mod pruning;
mod recovering;
mod replanning;
mod resting;
mod table;
mod zone_changes;
