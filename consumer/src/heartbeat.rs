//! Keeps the leases of what runs here, and stops what has lost its own.
//!
//! One statement per tenant renews all its leases; each tenant has its own task, so that a dark
//! one delays no other. A lease counts from the moment its last accepted renewal was sent, by
//! boot time, so that this process stops before anybody else may start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::id::{ExecutionId, TenantId};
use shared::liveness::Watchdog;
use shared::metrics::Metrics;
use shared::store::chain;
use shared::tenants::{OpenTenant, Tenants};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often leases and renewals are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The leases that this process holds.
pub(crate) struct Leases {
    tenants: Arc<Tenants>,
    clock: Clock,
    worker: String,
    lease: Duration,
    metrics: Metrics,
    held: Mutex<BTreeMap<TenantId, HeldByTenant>>,
}

#[derive(Default)]
struct HeldByTenant {
    rows: BTreeMap<ExecutionId, Lease>,
    /// When the next renewal is due.
    renew_at: BootTime,
    /// Whether a renewal is on its way.
    renewing: bool,
}

struct Lease {
    /// When it ends.
    until: BootTime,
    /// Told when it ended, or the row is somebody else's.
    lost: CancellationToken,
    /// Told when somebody asked for the execution's end.
    cancel: CancellationToken,
}

/// A lease held; dropped, it is renewed no more.
pub(crate) struct Hold {
    leases: Arc<Leases>,
    tenant: TenantId,
    execution: ExecutionId,
}

impl Leases {
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        worker: &str,
        lease: Duration,
        metrics: Metrics,
    ) -> Leases {
        let (clock, worker) = (tenants.clock().clone(), worker.to_owned());
        Leases { tenants, clock, worker, lease, metrics, held: Mutex::default() }
    }

    /// Holds a row that was claimed by a statement sent at `claimed_at`. `lost` and
    /// `cancel` are told when the lease ends, or its execution is to.
    pub(crate) fn hold(
        self: &Arc<Self>,
        tenant: TenantId,
        execution: ExecutionId,
        claimed_at: BootTime,
        lost: CancellationToken,
        cancel: CancellationToken,
    ) -> Hold {
        let mut held = self.held();
        let of_tenant = held.entry(tenant).or_default();
        if of_tenant.rows.is_empty() {
            of_tenant.renew_at = claimed_at + self.interval();
        }
        of_tenant.rows.insert(execution, Lease { until: claimed_at + self.lease, lost, cancel });
        Hold { leases: self.clone(), tenant, execution }
    }

    /// Ticks for ever.
    pub(crate) async fn run(self: Arc<Self>, watchdog: Watchdog) {
        loop {
            watchdog.ping();
            self.tick();
            self.clock.sleep(TICK).await;
        }
    }

    /// Stops what has lost its lease, and sends the renewals that are due.
    fn tick(self: &Arc<Self>) {
        let now = self.clock.boot_time();
        let mut due = Vec::new();
        for (tenant, held) in self.held().iter_mut() {
            for lease in held.rows.values().filter(|lease| lease.until <= now) {
                self.lose(lease);
            }
            if now >= held.renew_at && !held.renewing {
                held.renewing = true;
                due.push((*tenant, held.rows.keys().copied().collect::<Vec<_>>()));
            }
        }
        for (tenant, rows) in due {
            tokio::spawn(self.clone().renew(tenant, rows));
        }
    }

    async fn renew(self: Arc<Self>, tenant: TenantId, mut rows: Vec<ExecutionId>) {
        rows.sort();
        let renewed = match self.tenants.get(tenant) {
            Some(open) => self.try_renew(&open, &rows).await,
            None => false, // removed; its leases end
        };
        let now = self.clock.boot_time();
        let mut held = self.held();
        if let Some(held) = held.get_mut(&tenant) {
            held.renewing = false;
            held.renew_at = now + if renewed { self.interval() } else { self.interval() / 5 };
        }
    }

    async fn try_renew(&self, open: &OpenTenant, rows: &[ExecutionId]) -> bool {
        let before = self.clock.boot_time();
        let answer = match open.store.now().await {
            Ok(now) => {
                let sent_at = self.clock.boot_time();
                let answer = open.store.heartbeat(rows, &self.worker, self.lease, now).await;
                answer.map(|beats| (sent_at, beats))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok((sent_at, beats)) => {
                let latency = self.clock.boot_time() - before;
                open.health.succeeded(open.slug(), latency);
                let cancelled =
                    beats.iter().filter(|beat| beat.cancel_requested).map(|beat| beat.id);
                let renewed: Vec<ExecutionId> = beats.iter().map(|beat| beat.id).collect();
                self.apply(open, rows, &renewed, cancelled.collect(), sent_at + self.lease);
                true
            }
            Err(error) => {
                open.health.failed(open.slug(), &error);
                debug!(tenant = open.slug(), "leases could not be renewed: {}", chain(&error));
                false
            }
        }
    }

    fn apply(
        &self,
        open: &OpenTenant,
        asked: &[ExecutionId],
        renewed: &[ExecutionId],
        cancelled: Vec<ExecutionId>,
        until: BootTime,
    ) {
        let mut held = self.held();
        let Some(held) = held.get_mut(&open.tenant.id) else { return };
        for id in asked {
            let Some(lease) = held.rows.get_mut(id) else { continue };
            if !renewed.contains(id) {
                warn!(tenant = open.slug(), execution = %id, "the lease was lost");
                self.lose(lease);
                continue;
            }
            lease.until = until;
            if cancelled.contains(id) {
                lease.cancel.cancel();
            }
        }
    }

    fn lose(&self, lease: &Lease) {
        if !lease.lost.is_cancelled() {
            self.metrics.leases_lost.inc();
            lease.lost.cancel();
        }
    }

    /// How long a claim or a renewal holds.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// How often a lease is renewed: three tries fit into it.
    pub(crate) fn interval(&self) -> Duration {
        self.lease / 4
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<TenantId, HeldByTenant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.leases.held();
        if let Some(of_tenant) = held.get_mut(&self.tenant) {
            of_tenant.rows.remove(&self.execution);
            if of_tenant.rows.is_empty() {
                held.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::ManualClock;
    use shared::random::Random;
    use shared::store::{Connections, Control};
    use testkit::Folder;

    use super::*;

    /// The watchdog: whether or not anybody can be asked, a handler is told when its lease ends, and
    /// not before.
    #[tokio::test]
    async fn what_cannot_be_renewed_is_stopped_when_its_lease_ends() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let (clock, random) = (Clock::Manual(manual.clone()), Random::seeded(1));
        let connections = Connections::new(clock.clone(), 1);
        let nowhere = Folder::new().sqlite_database("nowhere.db");
        let control = Control::new(&nowhere, &connections).unwrap();
        // No tenant is known, so that no renewal is accepted.
        let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
        let lease = Duration::from_secs(60);
        let leases = Arc::new(Leases::new(tenants, "w", lease, Metrics::new(clock.clone())));
        let now = clock.wall_time();
        let (tenant, row) = (TenantId::new(now, &random), ExecutionId::new(now, &random));
        let (lost, cancel) = (CancellationToken::new(), CancellationToken::new());
        let _hold = leases.hold(tenant, row, clock.boot_time(), lost.clone(), cancel.clone());
        manual.advance(lease - Duration::from_millis(1));
        leases.tick();
        assert!(!lost.is_cancelled(), "it is still held");
        manual.advance(Duration::from_millis(1));
        leases.tick();
        assert!(lost.is_cancelled(), "nobody else may start while it runs");
        assert!(!cancel.is_cancelled());
    }
}
