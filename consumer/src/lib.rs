//! Executes jobs: a daemon, and a library for programs that bring their own handlers.
//!
//! A program needs little more than its handlers:
//!
//! ```no_run
//! use polychron_consumer::{Consumer, Context, HandlerError};
//!
//! #[derive(serde::Deserialize)]
//! struct Invoice {
//!     number: u32,
//! }
//!
//! async fn send_invoice(invoice: Invoice, context: Context) -> Result<String, HandlerError> {
//!     context.log(format!("sending invoice {}", invoice.number));
//!     Ok("sent".to_owned())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Consumer::builder().handler("send_invoice", send_invoice).run()
//! }
//! ```
//!
//! Run as many processes as you like: they share the work without knowing of each other. [`testing`]
//! runs single handlers in tests. To read the code, start with `worker.rs`, which follows one delivery
//! from its receipt to its acknowledgement.

mod builder;
mod builtin;
mod consumer;
mod context;
pub mod diagnostic;
mod error;
mod executor;
mod handler;
mod handler_process;
mod handler_threads;
mod heartbeat;
mod launching;
mod panics;
mod registration;
mod reporter;
mod stop;
pub mod testing;
mod utf8;
mod worker;
mod writer;

pub use builder::{Builder, REQUIRED_SETTINGS};
pub use builtin::answer;
pub use consumer::{Consumer, Stopped, known_types};
pub use context::Context;
pub use error::HandlerError;
pub use handler::{Handler, Registry};
/// The version of sqlx whose pools a [`Context`] provides.
pub use sqlx;
