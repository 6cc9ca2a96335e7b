//! Renews the leases of running executions, and stops executions that have lost theirs.
//!
//! One statement renews all leases of a tenant, in a task of its own, so an unreachable database
//! delays no other tenant. A lease counts from when its last successful renewal was sent, in boot
//! time: this process stops its handler before another worker may start the next attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::id::{ExecutionId, TenantId};
use shared::liveness::Watchdog;
use shared::metrics::Metrics;
use shared::store::{Heartbeat, StoreError, caught, chain};
use shared::tenants::{OpenTenant, Tenants};
use tracing::{info, warn};

use crate::stop::StopSignals;

/// How often leases are checked for their end and their renewal.
const CHECK_EVERY: Duration = Duration::from_secs(1);

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
    /// Whether a renewal is under way.
    renewing: bool,
    renewal: Renewal,
}

/// How the last renewal of a tenant's leases has ended.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Renewal {
    #[default]
    Done,
    /// Some rows were locked. Ours are, for a moment, while their results are written.
    SomeLocked,
    /// It failed, or rows were locked twice in a row; a warning was logged.
    InDanger,
}

struct Lease {
    /// When it ends.
    until: BootTime,
    signals: StopSignals,
}

/// A lease that is renewed until this is dropped.
pub(crate) struct Hold {
    leases: Arc<Leases>,
    tenant: TenantId,
    execution: ExecutionId,
    signals: StopSignals,
}

impl Hold {
    /// Signals that the lease was lost, or that the execution is to be cancelled.
    pub(crate) fn signals(&self) -> StopSignals {
        self.signals.clone()
    }
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

    /// Renews the lease of a row that was claimed by a statement sent at `claimed_at`.
    pub(crate) fn hold(
        self: &Arc<Self>,
        tenant: TenantId,
        execution: ExecutionId,
        claimed_at: BootTime,
    ) -> Hold {
        let signals = StopSignals::default();
        let mut held = self.held();
        let of_tenant = held.entry(tenant).or_default();
        if of_tenant.rows.is_empty() {
            of_tenant.renew_at = claimed_at + self.interval();
        }
        let lease = Lease { until: claimed_at + self.lease, signals: signals.clone() };
        of_tenant.rows.insert(execution, lease);
        Hold { leases: self.clone(), tenant, execution, signals }
    }

    /// Checks the leases until it is dropped.
    pub(crate) async fn run(self: Arc<Self>, watchdog: Watchdog) {
        loop {
            watchdog.ping();
            self.check();
            self.clock.sleep(CHECK_EVERY).await;
        }
    }

    /// Stops executions whose lease ended, and starts the renewals that are due.
    fn check(self: &Arc<Self>) {
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
        let open = self.tenants.get(tenant);
        let renewed = match &open {
            Some(open) => {
                let renewing = async { Ok::<_, StoreError>(self.try_renew(open, &rows).await) };
                Box::pin(caught(renewing)).await.unwrap_or_else(|error| {
                    open.health.failed(open.slug(), &error);
                    Err(chain(&error))
                })
            }
            None => Err("the tenant was removed".to_owned()),
        };
        let now = self.clock.boot_time();
        let mut held = self.held();
        let Some(held) = held.get_mut(&tenant) else { return };
        held.renewing = false;
        let wait = if renewed == Ok(0) { self.interval() } else { self.interval() / 5 };
        held.renew_at = now + wait;
        let ends = held.rows.values().map(|lease| lease.until).min();
        let ends_in_s = ends.map(|until| (until - now).as_secs());
        let (tenant, executions) = (open.as_ref().map(|open| open.slug()), rows.len());
        let reason = match (renewed, held.renewal) {
            (Ok(0), before) => {
                held.renewal = Renewal::Done;
                if before == Renewal::InDanger {
                    info!(tenant, "leases are renewed again");
                }
                return;
            }
            (Ok(_), Renewal::Done) => {
                held.renewal = Renewal::SomeLocked;
                return;
            }
            (_, Renewal::InDanger) => return,
            (Ok(locked), _) => format!("another session has locked the rows of {locked}"),
            (Err(reason), _) => reason,
        };
        held.renewal = Renewal::InDanger;
        warn!(
            tenant,
            executions,
            ends_in_s,
            "leases cannot be renewed; executions are stopped when theirs end: {reason}"
        );
    }

    /// Renews leases. Returns how many rows were locked; the error says why none was renewed.
    async fn try_renew(&self, open: &OpenTenant, rows: &[ExecutionId]) -> Result<usize, String> {
        let before = self.clock.boot_time();
        let answer = match open.store.now().await {
            Ok(now) => {
                let sent_at = self.clock.boot_time();
                let answer = open.store.heartbeat(rows, &self.worker, self.lease, now).await;
                answer.map(|renewed| (sent_at, renewed))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok((sent_at, renewed)) => {
                let latency = self.clock.boot_time() - before;
                open.health.succeeded(open.slug(), latency);
                self.apply(open, rows, &renewed, sent_at + self.lease);
                Ok(renewed.iter().filter(|row| !row.renewed).count())
            }
            Err(error @ StoreError::Conflict(_)) => Err(open.store.why_blocked(&error).await),
            Err(error) => {
                open.health.failed(open.slug(), &error);
                Err(chain(&error))
            }
        }
    }

    /// `renewed` are those of the `requested` rows that are still this worker's. A row that another session
    /// has locked keeps the lease that it has.
    fn apply(
        &self,
        open: &OpenTenant,
        requested: &[ExecutionId],
        renewed: &[Heartbeat],
        until: BootTime,
    ) {
        let mut held = self.held();
        let Some(held) = held.get_mut(&open.tenant.id) else { return };
        for id in requested {
            let Some(lease) = held.rows.get_mut(id) else { continue };
            let Some(renewed) = renewed.iter().find(|renewed| renewed.id == *id) else {
                warn!(tenant = open.slug(), execution = %id, "the lease was lost");
                self.lose(lease);
                continue;
            };
            if renewed.renewed {
                lease.until = until;
            }
            if renewed.cancel_requested {
                lease.signals.cancel.cancel();
            }
        }
    }

    fn lose(&self, lease: &Lease) {
        if !lease.signals.lost.is_cancelled() {
            self.metrics.leases_lost.inc();
            lease.signals.lost.cancel();
        }
    }

    /// How long a lease lasts after a claim or a renewal.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// How often a lease is renewed: at least three tries fit into it.
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

    /// Although the database is unreachable, a handler is stopped when its lease ends, not before.
    #[tokio::test]
    async fn an_execution_whose_lease_cannot_be_renewed_is_stopped_when_the_lease_ends() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let (clock, random) = (Clock::Manual(manual.clone()), Random::seeded(1));
        let connections = Connections::new(clock.clone(), 1);
        let nowhere = Folder::new().sqlite_database("nowhere.db");
        let control = Control::new(&nowhere, &connections).unwrap();
        // Without any known tenant no renewal succeeds.
        let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
        let lease = Duration::from_secs(60);
        let leases = Arc::new(Leases::new(tenants, "w", lease, Metrics::new(clock.clone())));
        let now = clock.wall_time();
        let (tenant, row) = (TenantId::new(now, &random), ExecutionId::new(now, &random));
        let hold = leases.hold(tenant, row, clock.boot_time());
        let StopSignals { lost, cancel } = hold.signals();
        manual.advance(lease - Duration::from_millis(1));
        leases.check();
        assert!(!lost.is_cancelled(), "it is still held");
        manual.advance(Duration::from_millis(1));
        leases.check();
        assert!(lost.is_cancelled(), "it stops before another worker may start");
        assert!(!cancel.is_cancelled());
    }
}
