//! The code that the producer, the consumer and the commands share.
//!
//! # The life of one job
//!
//! A tenant's application inserts a row into its own `polychron_job` table ([`job`]). The producer
//! computes when it is due ([`schedule`]). At that time, one guarded statement inserts a row for the
//! occurrence and advances the job, and the producer publishes a message with the row's id
//! ([`message`], [`queue`]). A consumer receives it, claims the row in the tenant's database, runs
//! the handler under a timeout and writes the outcome ([`outcome`]) to the row.
//!
//! The row is the truth and the message is a nudge. Every transition is one guarded statement
//! ([`store`]). Every state that is not final has a deadline, and a process that enforces it.

pub mod clock;
pub mod config;
pub mod database_url;
pub mod date_fault;
pub mod environment;
pub mod execution;
pub mod failpoint;
pub mod handler_status;
pub mod health;
pub mod http;
pub mod id;
pub mod installed_rules;
pub mod job;
pub mod liveness;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod notification;
pub mod outcome;
pub mod output;
mod postgres_url;
pub mod printable;
pub mod private_file;
pub mod process;
pub mod queue;
pub mod random;
pub mod readiness;
pub mod reconnect;
pub mod replan;
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
