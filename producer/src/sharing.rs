//! Divides the tenants with the other producers: says again and again, in the control database,
//! that this one lives, and hears who else does.
//!
//! Nothing that must not go wrong depends on it, and where it isn't sure, it watches more: all
//! tenants, while the broker cannot be reached (the others take over then, since they may be able
//! to publish) or the control database has been away for long; and a tenant whose database another
//! one says it cannot use.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::BootTime;
use shared::id::TenantId;
use shared::liveness::Watchdog;
use shared::metrics::Metrics;
use shared::process;
use shared::queue::{BrokerState, Publisher};
use shared::random::Random;
use shared::store::{self, Result};
use shared::tenants::Tenants;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::share::{LASTS, Roll, Share};

/// How often a producer says that it lives, and hears of the others.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// For this long the last known share holds without the control database.
const UNSURE_AFTER: Duration = Duration::from_secs(60);
/// How long a producer that has just started waits for the broker before it watches all tenants.
const BROKER_LIMIT: Duration = Duration::from_secs(3);
/// The most tenants that a producer says it cannot reach. Where there are more, a whole server is
/// away, and hardly for this one only.
const UNREACHABLE_MAX: usize = 200;
/// How long a producer that is gone stays in the table.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// One producer among others.
pub(crate) struct Sharing {
    name: String,
    tenants: Arc<Tenants>,
    publisher: Publisher,
    metrics: Metrics,
    roll: Roll,
    share: watch::Sender<Share>,
    /// Whether the others count on this one.
    joined: bool,
    /// When the others were heard of last.
    heard_at: Option<BootTime>,
}

impl Sharing {
    /// Not joined yet: all tenants are watched.
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        publisher: Publisher,
        metrics: Metrics,
        random: &Random,
    ) -> Sharing {
        let (name, share) = (process::name(random), watch::Sender::new(Share::whole()));
        let (roll, joined, heard_at) = (Roll::default(), false, None);
        Sharing { name, tenants, publisher, metrics, roll, share, joined, heard_at }
    }

    /// The share as it changes.
    pub(crate) fn shares(&self) -> watch::Receiver<Share> {
        self.share.subscribe()
    }

    /// Joins the others, if that can be done at once; so a newcomer doesn't look at everybody first.
    pub(crate) async fn join(&mut self) {
        let mut state = self.publisher.state();
        let connected = state.wait_for(|state| *state != BrokerState::Closed);
        tokio::select! {
            biased;
            _ = connected => {}
            () = self.tenants.clock().sleep(BROKER_LIMIT) => {}
        }
        self.tick().await;
    }

    /// Goes on until asked to stop, then leaves. `called`: somebody has come or gone.
    pub(crate) async fn run(
        mut self,
        called: Arc<Notify>,
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
                () = called.notified() => {}
                // Without its sender there is no publisher, and nothing to stay for.
                changed = state.changed() => if changed.is_err() { break },
                () = clock.sleep(RENEW_EVERY) => {}
            }
            self.tick().await;
        }
        self.leave().await;
    }

    async fn tick(&mut self) {
        let now = self.tenants.clock().boot_time();
        let share = if *self.publisher.state().borrow() == BrokerState::Closed {
            self.leave().await;
            Share::whole()
        } else if let Ok(share) = self.renew(now).await {
            self.heard_at = Some(now);
            share
        } else if self.heard_at.is_some_and(|at| now - at < UNSURE_AFTER) {
            return;
        } else {
            Share::whole()
        };
        let (producers, before) = (share.producers(), self.share.borrow().producers());
        self.share.send_if_modified(|known| std::mem::replace(known, share.clone()) != share);
        if producers != before {
            info!(producer = self.name, producers, "the tenants are divided anew");
        }
    }

    /// Says that this one lives, and hears who does.
    async fn renew(&mut self, now: BootTime) -> Result<Share> {
        let control = self.tenants.control();
        let seen_at = control.now().await?;
        let row = store::Producer {
            name: self.name.clone(),
            host: process::host(),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            watched: self.metrics.tenants_watched.get() as i32,
            poll_seconds: self.metrics.poll_interval.get().ceil() as i32,
            unreachable: self.unreachable(),
            started_at: seen_at,
            seen_at,
        };
        control.register_producer(&row).await?;
        if !std::mem::replace(&mut self.joined, true) {
            self.publisher.announce_membership_change().await;
        }
        let rows = self.tenants.control().list_producers(seen_at - LASTS).await?;
        Ok(Share::among(&self.name, &self.roll.call(rows, now)))
    }

    /// Tenants that others had better watch, too.
    fn unreachable(&self) -> Vec<TenantId> {
        let all = self.tenants.all();
        let ailing = all.iter().filter(|(_, tenant)| tenant.health.reason().is_some());
        ailing.map(|(id, _)| *id).take(UNREACHABLE_MAX).collect()
    }

    /// Leaves the tenants to the others.
    async fn leave(&mut self) {
        if !std::mem::take(&mut self.joined) {
            return;
        }
        let control = self.tenants.control();
        if let Ok(now) = control.now().await {
            // If it fails, the others notice in time, and somebody forgets the row later.
            let _ = control.unregister_producer(&self.name, now - FORGET_AFTER).await;
        }
        self.publisher.announce_membership_change().await;
    }
}
