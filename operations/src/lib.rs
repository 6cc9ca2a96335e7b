//! What operators can do, by a command, through the API or on a page: a module for each noun.
//!
//! Every change is audited ([`context::Context::record`]) and can be a dry run ([`change::Change`]).
//! Nothing here knows the command line or the web.

pub mod change;
mod changes;
pub mod check;
mod conditions;
pub mod context;
pub mod dead;
pub mod execution;
pub mod explain;
pub mod failure;
pub mod finding;
pub mod fleet;
pub mod follow;
pub mod forecast;
pub mod format;
pub mod import;
pub mod input;
pub mod installation;
pub mod job;
pub mod migrate;
mod next_time;
pub mod occurrence_report;
pub mod schedule;
pub mod schedule_change;
pub mod step;
pub mod tenant;
pub mod zones;
