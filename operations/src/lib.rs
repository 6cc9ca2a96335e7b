//! What operators can do, whether they ask by a command, by the API or on a page. A module for each
//! noun; every change is audited. Knows neither command line nor web.

pub mod change;
mod changes;
pub mod check;
mod conditions;
pub mod context;
pub mod execution;
pub mod explain;
pub mod failure;
pub mod finding;
pub mod fleet;
pub mod follow;
pub mod forecast;
pub mod format;
pub mod input;
pub mod job;
pub mod occurrence_report;
pub mod schedule;
pub mod step;
pub mod tenant;
