//! The benchmarks' harness. It runs release builds on private servers. Contestants take turns within
//! each round; ratios within a round are comparable although the machine's speed changes, and processor
//! time per job although it is busy.
//!
//! A case is a file in `bin/bench`: it starts processes (`tests::System`), takes samples and adds
//! them to a [`Sheet`].

mod servers;
mod sheet;
mod usage;

pub use servers::{Servers, drop_database, drop_virtual_host, require_fsync};
pub use sheet::{Sample, Sheet, median, slope};
pub use usage::{Usage, costs};
