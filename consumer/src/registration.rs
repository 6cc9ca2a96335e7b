//! Keeps this worker's row in the control database, by which operators see it.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::config::Config;
use shared::liveness::Watchdog;
use shared::process;
use shared::store::{self, Control, chain};
use tracing::warn;

use crate::worker::Worker;

/// How often the row is updated.
const REGISTER_EVERY: Duration = Duration::from_secs(10);
/// Rows of workers that have not updated theirs for this long are deleted.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// Updates this worker's row until it is dropped.
pub(crate) async fn run(worker: Arc<Worker>, config: Config, clock: Clock, watchdog: Watchdog) {
    let (pid, host) = (process::id(), process::host());
    loop {
        watchdog.ping();
        let control = worker.tenants.control();
        let registered = async {
            let now = control.now().await?;
            let running = config.prefetch - worker.slots.available_permits();
            let row = store::Worker {
                name: worker.name.clone(),
                host: host.clone(),
                pid,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                queues: config.queues.clone(),
                job_types: worker.runner.job_types(),
                slots: config.prefetch as i32,
                running: running as i32,
                started_at: now.time(),
                seen_at: now.time(),
                handlers: worker.handlers.status(),
            };
            control.register_worker(&row).await
        };
        if let Err(error) = registered.await {
            warn!("this worker could not be registered: {}", chain(&error));
        }
        clock.sleep(REGISTER_EVERY).await;
    }
}

/// Deletes this worker's row, and those of workers that died long ago.
pub(crate) async fn end(control: &Control, name: &str) {
    if let Ok(now) = control.now().await {
        // If this fails, another worker deletes the row after `FORGET_AFTER`.
        let _ = control.unregister_worker(name, now - FORGET_AFTER).await;
    }
}
