//! How a process is asked to stop: politely, then at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The two requests to stop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// The first: take nothing new, let what runs come to its end.
    pub drain: CancellationToken,
    /// The second, or the end of patience: give back what runs.
    pub release: CancellationToken,
}

impl Shutdown {
    /// Requested by SIGTERM or SIGINT. The second signal is the second request.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let asked = shutdown.clone();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            for (request, meaning) in [
                (&asked.drain, "asked to stop: what runs may come to its end"),
                (&asked.release, "asked again to stop: what runs is given back"),
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

    /// Makes the second request when the first is older than `patience`.
    pub async fn release_after(&self, patience: Duration) {
        self.drain.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(patience) => self.release.cancel(),
            () = self.release.cancelled() => {}
        }
    }
}
