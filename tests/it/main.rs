//! The whole system at work, and under attack: what must hold whatever happens.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod crowded;
mod health;
mod losses;
mod metrics;
mod notifications;
mod sharing;
#[cfg(feature = "otel")]
mod traces;
mod work;
