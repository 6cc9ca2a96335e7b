//! The harness of the benchmarks: the programs as they are shipped, on private servers; contestants
//! that take turns within each round; medians of rates, and ratios within rounds, which hold on a
//! machine whose speed changes; processor time for each job, which holds on a busy one.
//!
//! A case is a file in `bin/bench`: it starts processes (`tests::System`), takes samples and enters
//! them in a [`Sheet`].

mod servers;
mod sheet;
mod usage;

pub use servers::{Servers, drop_database, drop_virtual_host, require_fsync};
pub use sheet::{Sample, Sheet, median, slope};
pub use usage::{Usage, costs};
