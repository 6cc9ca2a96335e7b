//! Membership among the producers: this producer renews its row in the control database, reads the
//! others' rows, and computes its partition of the tenants from them.
//!
//! Correctness does not depend on it. In doubt a producer watches more tenants: all of them while the
//! broker cannot be reached (the others then take this producer's tenants, since they may be able to
//! publish) or while the control database has been away for long.

mod failure_detector;

use std::sync::Arc;
use std::time::Duration;

use shared::clock::BootTime;
use shared::id::TenantId;
use shared::liveness::Watchdog;
use shared::metrics::Metrics;
use shared::process;
use shared::queue::{BrokerState, Publisher};
use shared::random::Random;
use shared::schedule::ZoneRules;
use shared::store::{self, Result};
use shared::tenants::Tenants;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::partition::Partition;
use failure_detector::{DEAD_AFTER, FailureDetector};

/// How often a producer renews its row and reads the others'.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// How long the last partition stays in force without the control database.
const PARTITION_VALID_FOR: Duration = Duration::from_secs(60);
/// How long a producer that starts waits for the broker before it watches all tenants.
const BROKER_LIMIT: Duration = Duration::from_secs(3);
/// The most tenants that a producer reports as unreachable. More of them mean that a whole server is
/// away, most likely for the other producers as well.
const UNREACHABLE_MAX: usize = 200;
/// How long the row of a dead producer stays in the table.
const DELETE_AFTER: Duration = Duration::from_secs(3600);

/// This producer's membership.
pub(crate) struct Membership {
    name: String,
    tenants: Arc<Tenants>,
    publisher: Publisher,
    metrics: Metrics,
    failure_detector: FailureDetector,
    partition: watch::Sender<Partition>,
    /// Whether this producer has a row.
    joined: bool,
    /// When the producers' rows were read last.
    read_at: Option<BootTime>,
}

impl Membership {
    /// Starts outside the group, with all tenants as its partition.
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        publisher: Publisher,
        metrics: Metrics,
        random: &Random,
    ) -> Membership {
        Membership {
            name: process::name(random),
            tenants,
            publisher,
            metrics,
            failure_detector: FailureDetector::default(),
            partition: watch::Sender::new(Partition::whole()),
            joined: false,
            read_at: None,
        }
    }

    /// The partition as it changes.
    pub(crate) fn partitions(&self) -> watch::Receiver<Partition> {
        self.partition.subscribe()
    }

    /// Joins the other producers. Waits for the broker for a moment first, so that a new producer does
    /// not begin by polling every tenant.
    pub(crate) async fn join(&mut self) {
        let mut state = self.publisher.state();
        let connected = state.wait_for(|state| *state != BrokerState::Closed);
        tokio::select! {
            biased;
            _ = connected => {}
            () = self.tenants.clock().sleep(BROKER_LIMIT) => {}
        }
        self.update().await;
    }

    /// Keeps the membership until `stop`, then leaves. `changed` is notified when another producer has
    /// joined or left.
    pub(crate) async fn run(
        mut self,
        changed: Arc<Notify>,
        stop: CancellationToken,
        watchdog: Watchdog,
    ) {
        let clock = self.tenants.clock().clone();
        let mut state = self.publisher.state();
        loop {
            watchdog.ping();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = changed.notified() => {}
                // An error means that the publisher is gone, and the producer with it.
                changed = state.changed() => if changed.is_err() { break },
                () = clock.sleep(RENEW_EVERY) => {}
            }
            self.update().await;
        }
        self.leave().await;
    }

    async fn update(&mut self) {
        let now = self.tenants.clock().boot_time();
        let partition = if *self.publisher.state().borrow() == BrokerState::Closed {
            self.leave().await;
            Partition::whole()
        } else if let Ok(partition) = self.renew(now).await {
            self.read_at = Some(now);
            partition
        } else if self.read_at.is_some_and(|at| now - at < PARTITION_VALID_FOR) {
            return;
        } else {
            Partition::whole()
        };
        let (producers, before) = (partition.producers(), self.partition.borrow().producers());
        self.partition
            .send_if_modified(|known| std::mem::replace(known, partition.clone()) != partition);
        if producers != before {
            info!(producer = self.name, producers, "the number of producers has changed");
        }
    }

    /// Renews this producer's row and reads the others'.
    async fn renew(&mut self, now: BootTime) -> Result<Partition> {
        let control = self.tenants.control();
        let seen_at = control.now().await?;
        let row = store::ProducerRow {
            name: self.name.clone(),
            host: process::host(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            watched: self.metrics.tenants_watched.get() as i32,
            poll_seconds: self.metrics.poll_interval.get().ceil() as i32,
            unreachable: self.unreachable(),
            started_at: seen_at.time(),
            seen_at: seen_at.time(),
            zone_rules: Some(ZoneRules::current().hash().to_owned()),
        };
        control.register_producer(&row).await?;
        if !std::mem::replace(&mut self.joined, true) {
            self.publisher.announce_membership_change().await;
        }
        let rows = self.tenants.control().list_producers(seen_at - DEAD_AFTER).await?;
        Ok(Partition::among(&self.name, &self.failure_detector.live(rows, now)))
    }

    /// Tenants that another producer should watch as well.
    fn unreachable(&self) -> Vec<TenantId> {
        let all = self.tenants.all();
        let ailing = all.iter().filter(|(_, tenant)| tenant.health.reason().is_some());
        ailing.map(|(id, _)| *id).take(UNREACHABLE_MAX).collect()
    }

    /// Deletes this producer's row, so that the others take its tenants at once.
    async fn leave(&mut self) {
        if !std::mem::take(&mut self.joined) {
            return;
        }
        let control = self.tenants.control();
        if let Ok(now) = control.now().await {
            // If this fails, the others detect the silence, and one of them deletes the row later.
            let _ = control.unregister_producer(&self.name, now - DELETE_AFTER).await;
        }
        self.publisher.announce_membership_change().await;
    }
}
