//! The reconnect loop that all sessions share.

use tokio::time::sleep;
use tracing::{info, warn};

use super::{AmqpUrl, Fault, RECONNECT_WAITS};
use crate::liveness::Watchdog;
use crate::reconnect::Reconnect;

/// What is done with a connection to the broker.
pub(super) trait BrokerSession: Send {
    /// What the connection is for, as it reads in a log line.
    const PURPOSE: &str;

    /// Connects, reports that to `link`, and serves until the connection fails. `Ok` means that the
    /// connection is not needed any more.
    fn serve(&mut self, link: &mut Link) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Returns when the connection is not needed any more. Awaited while there is no connection.
    fn unneeded(&mut self) -> impl Future<Output = ()> + Send;
}

/// The state of the reconnect loop.
pub(super) struct Link {
    url: AmqpUrl,
    purpose: &'static str,
    reconnect: Reconnect,
    /// Whether the present outage has been logged.
    is_outage_logged: bool,
}

impl Link {
    /// Records that the session is connected: the next outage is logged, and its waits start short.
    pub(super) fn connected(&mut self) {
        info!(broker = %self.url, "connected to the broker for {}", self.purpose);
        self.is_outage_logged = false;
        self.reconnect.reset();
    }

    fn failed(&mut self, fault: &Fault) {
        if !std::mem::replace(&mut self.is_outage_logged, true) {
            let purpose = self.purpose;
            warn!(broker = %self.url, "no connection to the broker for {purpose}; retrying: {fault}");
        }
    }
}

/// Serves a session until it is not needed any more. When its connection fails, it connects again,
/// after growing waits with jitter.
pub(super) async fn keep_connected<S: BrokerSession>(
    url: AmqpUrl,
    watchdog: Watchdog,
    mut session: S,
) {
    let reconnect = Reconnect::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
    let mut link = Link { url, purpose: S::PURPOSE, reconnect, is_outage_logged: false };
    loop {
        watchdog.ping();
        match session.serve(&mut link).await {
            Ok(()) => return,
            Err(fault) => link.failed(&fault),
        }
        tokio::select! {
            () = sleep(link.reconnect.next_wait()) => {}
            () = session.unneeded() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    /// Fails some times before it connects.
    struct Failing {
        failures: usize,
        served: Arc<Notify>,
    }

    impl BrokerSession for Failing {
        const PURPOSE: &str = "testing";

        async fn serve(&mut self, link: &mut Link) -> Result<(), Fault> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(Fault::Unreachable);
            }
            assert!(link.is_outage_logged, "it has failed before");
            link.connected();
            assert!(!link.is_outage_logged);
            self.served.notify_one();
            Ok(())
        }

        async fn unneeded(&mut self) {
            std::future::pending().await
        }
    }

    fn url() -> AmqpUrl {
        "amqp://127.0.0.1:1/x".parse().unwrap()
    }

    #[tokio::test]
    async fn a_session_is_served_again_until_it_is_not_needed() {
        let served = Arc::new(Notify::new());
        let session = Failing { failures: 1, served: served.clone() };
        keep_connected(url(), Watchdog::default(), session).await;
        served.notified().await;
    }

    #[tokio::test]
    async fn a_session_that_is_not_needed_any_more_ends_without_a_connection() {
        struct Unneeded;
        impl BrokerSession for Unneeded {
            const PURPOSE: &str = "testing";
            async fn serve(&mut self, _: &mut Link) -> Result<(), Fault> {
                Err(Fault::Unreachable)
            }
            async fn unneeded(&mut self) {}
        }
        keep_connected(url(), Watchdog::default(), Unneeded).await;
    }
}
