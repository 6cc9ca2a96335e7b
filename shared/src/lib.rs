//! What producer, consumer and console share.
//!
//! # The life of one job
//!
//! A tenant's application inserts a row into its own `job` table ([`job`]). The producer works out
//! when it is due ([`schedule`]), and at that time inserts the occurrence's row, advances the job,
//! both in one guarded statement, and publishes a message that names the row ([`message`],
//! [`queue`]). Some consumer receives it, claims the row in the tenant's database, runs the
//! handler under a timeout, and writes what it came to ([`outcome`]) back to that database.
//!
//! The row is the truth, the message is a nudge; every move is one guarded statement ([`store`]);
//! every state that isn't final has a deadline and somebody who collects it.

pub mod clock;
pub mod config;
pub mod database_url;
pub mod execution;
pub mod failpoint;
pub mod health;
pub mod http;
pub mod id;
pub mod job;
pub mod liveness;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod notification;
pub mod outcome;
pub mod output;
pub mod printable;
pub mod process;
pub mod queue;
pub mod random;
pub mod readiness;
pub mod reconnect;
pub mod retry;
pub mod schedule;
pub mod secrets;
pub mod shutdown;
pub mod store;
mod string_enum;
pub mod telemetry;
pub mod tenant;
pub mod tenants;
pub mod trace;
