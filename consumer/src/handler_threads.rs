//! The threads that handlers run on.

use anyhow::Context as _;
use tokio::runtime::{Handle, Runtime};

/// A runtime for handlers. Dropping it does not wait for them: their rows are final or given back.
pub(crate) struct HandlerThreads(Option<Runtime>);

impl HandlerThreads {
    /// Starts one thread more than there are slots, which leaves one for async handlers even if every
    /// slot has a handler that blocks its thread.
    pub(crate) fn start(slots: usize) -> anyhow::Result<HandlerThreads> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(slots + 1)
            .thread_name("handler")
            .enable_all()
            .build()
            .context("cannot start the handlers' threads")?;
        Ok(HandlerThreads(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Handle {
        // `None` only while it is being dropped.
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for HandlerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
