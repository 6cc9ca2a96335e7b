//! Stopping a process in two steps: it drains first, and then gives back what still runs.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The two requests to stop. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// The first: start nothing new, and let running executions finish.
    pub drain: CancellationToken,
    /// The second, or the end of the drain timeout: give back running executions.
    pub release: CancellationToken,
}

impl Shutdown {
    /// The first SIGTERM or SIGINT is the first request, the second signal the second one.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let requested = shutdown.clone();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            for (request, meaning) in [
                (&requested.drain, "asked to stop: running executions may finish"),
                (&requested.release, "asked again to stop: running executions are given back"),
            ] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                info!("{meaning}");
                request.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Makes the second request `timeout` after the first.
    pub async fn release_after(&self, timeout: Duration) {
        self.drain.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(timeout) => self.release.cancel(),
            () = self.release.cancelled() => {}
        }
    }
}
