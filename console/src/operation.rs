//! What operators can do, whichever way they ask: by a command, by the API, on a page. Each file
//! is what can be done with one noun; every change leaves its trace in the audit.

pub(crate) mod account;
pub(crate) mod execution;
pub(crate) mod explain;
pub(crate) mod fleet;
pub(crate) mod forecast;
pub(crate) mod job;
pub(crate) mod schedule;
pub(crate) mod tenant;
