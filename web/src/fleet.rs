//! A snapshot of every tenant, kept in memory by the [`walker`], since a page must not open thousands
//! of databases.

mod snapshot;
mod stats;
mod walker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use operations::context::Context;
use operations::tenant::TenantView;
use shared::clock::Clock;
use tokio::sync::watch;

pub(crate) use snapshot::TenantSnapshot;
pub(crate) use stats::{HOURS, OutcomeCounts, TenantStats, hour_of};

/// The latest snapshot of every tenant.
pub(crate) struct FleetCache {
    clock: Clock,
    tenants: Mutex<BTreeMap<String, TenantSnapshot>>,
    walks: watch::Sender<u64>,
}

impl FleetCache {
    pub(crate) fn new(clock: Clock) -> FleetCache {
        FleetCache { clock, tenants: Mutex::default(), walks: watch::Sender::new(0) }
    }

    /// Reads the snapshots, by slug.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, TenantSnapshot>) -> T) -> T {
        read(&self.tenants())
    }

    /// How old a snapshot is; none before the first visit.
    pub(crate) fn age(&self, snapshot: &TenantSnapshot) -> Option<Duration> {
        snapshot.at.map(|at| self.clock.boot_time() - at)
    }

    /// Changes at the end of each walk.
    pub(crate) fn walks(&self) -> watch::Receiver<u64> {
        self.walks.subscribe()
    }

    /// Keeps the snapshots fresh until it is dropped.
    pub(crate) async fn refresh(&self, context: &Context) {
        walker::walk(self, context).await;
    }

    fn get(&self, slug: &str) -> Option<TenantSnapshot> {
        self.tenants().get(slug).cloned()
    }

    fn put(&self, snapshot: TenantSnapshot) {
        self.tenants().insert(snapshot.tenant.slug.clone(), snapshot);
    }

    /// Adds tenants; their snapshots stay.
    fn enter(&self, listed: impl Iterator<Item = TenantView>) {
        let mut tenants = self.tenants();
        for tenant in listed {
            match tenants.get_mut(&tenant.slug) {
                Some(snapshot) => snapshot.tenant = tenant,
                None => {
                    let slug = tenant.slug.clone();
                    tenants.insert(slug, TenantSnapshot::unvisited(tenant));
                }
            }
        }
    }

    /// Forgets all but these.
    fn keep(&self, slugs: &BTreeSet<String>) {
        self.tenants().retain(|slug, _| slugs.contains(slug));
    }

    fn end_walk(&self) {
        self.walks.send_modify(|walks| *walks += 1);
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, TenantSnapshot>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
