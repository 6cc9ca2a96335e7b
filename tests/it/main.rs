//! The whole system in real processes, without and with faults.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod beside;
mod handler_commands;
mod handler_processes;
mod health;
mod losses;
mod metrics;
mod notifications;
mod overloaded_server;
mod partitions;
#[cfg(feature = "otel")]
mod traces;
mod upgrade;
mod work;
