//! Chaos: real processes are killed, suspended and cut off at the worst moments, and their brokers and
//! databases fail. Each test is one row of `docs/reliability.md`. `make chaos` runs them one at a time,
//! since some of them break the shared broker or database server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod account;
mod broker;
mod clocks;
mod contention;
mod databases;
mod embedded;
mod handlers;
mod kills;
mod limits;
mod load;
mod messages;
mod mix;
mod operators;
mod servers;
mod shutdown;
mod versions;

/// A short lease, to notice a lost worker soon.
const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");
