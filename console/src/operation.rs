//! What operators can do, whichever way they ask: by a command, by the API, on a page. Each file
//! is what can be done with one noun; every change is audited.

pub(crate) mod change;
mod changes;
pub(crate) mod check;
mod conditions;
pub(crate) mod context;
pub(crate) mod execution;
pub(crate) mod explain;
pub(crate) mod failure;
pub(crate) mod finding;
pub(crate) mod fleet;
pub(crate) mod follow;
pub(crate) mod forecast;
pub(crate) mod format;
pub(crate) mod input;
pub(crate) mod job;
pub(crate) mod occurrence_report;
pub(crate) mod schedule;
pub(crate) mod step;
pub(crate) mod tenant;
