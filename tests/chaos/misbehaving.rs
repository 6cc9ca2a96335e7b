//! A user's consumer program with misbehaving handlers, for the chaos tests.

use std::process::ExitCode;

use consumer::{Consumer, Context, HandlerError};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Leak {
    megabytes: usize,
}

/// Leaks a thread, a future and some memory, and succeeds.
async fn leak(payload: Leak, _: Context) -> Result<(), HandlerError> {
    std::thread::Builder::new().spawn(|| {
        loop {
            std::thread::park();
        }
    })?;
    tokio::spawn(std::future::pending::<()>());
    // Writing to it allocates the pages.
    Box::leak(vec![1_u8; payload.megabytes << 20].into_boxed_slice());
    Ok(())
}

/// Aborts the process, as a fault in a C library would.
async fn abort(_: Value, _: Context) -> Result<(), HandlerError> {
    std::process::abort()
}

fn main() -> ExitCode {
    let about = "Executes handlers that leak and handlers that abort.";
    Consumer::builder().about(about).handler("leak", leak).handler("abort", abort).run()
}
