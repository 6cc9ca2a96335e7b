//! Chaos: real processes are killed, stopped and cut off at the worst moments, brokers and databases
//! are broken under them. Each test is one row of `docs/reliability.md`. Run by `make chaos`, one at
//! a time, since some break the broker or the database server for everybody.
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

/// A short lease, so that a lost worker is noticed while the test waits.
const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");
