//! Starts the processes of a pool on demand.

use std::sync::Arc;

use super::pool::{Next, Pool};
use super::process::{self, Starter};

/// Starts processes until the pool ends.
pub(super) async fn run(pool: Arc<Pool>, starter: Arc<Starter>) {
    loop {
        match pool.next() {
            Next::Start(number, requests) => {
                tokio::spawn(process::run(pool.clone(), number, requests, starter.clone()));
            }
            Next::At(time) => tokio::select! {
                () = pool.changed.notified() => {}
                () = pool.clock.sleep(time - pool.clock.boot_time()) => {}
            },
            Next::Enough => pool.changed.notified().await,
            Next::Ended => return,
        }
    }
}
