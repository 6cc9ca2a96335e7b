//! Carries what running handlers put out to their rows, while they are at it.
//!
//! Not a write for each line: what is new since the last time goes in one statement for each
//! tenant, every other second at most. What cannot be written is written the next time, or with
//! the result; nobody waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Clock;
use shared::id::{ExecutionId, TenantId};
use shared::output::{Output, Report};
use shared::store::chain;
use shared::tenants::Tenants;
use tracing::debug;

/// How often outputs are looked at.
const TICK: Duration = Duration::from_secs(2);

/// The outputs of what runs here.
pub(crate) struct Reporter {
    tenants: Arc<Tenants>,
    clock: Clock,
    worker: String,
    watched: Mutex<HashMap<TenantId, OfTenant>>,
}

#[derive(Default)]
struct OfTenant {
    rows: HashMap<ExecutionId, Watched>,
    /// Whether a statement is on its way.
    writing: bool,
}

struct Watched {
    output: Output,
    /// [`Output::changes`] at the last report.
    reported: u64,
}

/// An output that is watched; dropped, it is reported no more.
pub(crate) struct Watch {
    reporter: Arc<Reporter>,
    tenant: TenantId,
    execution: ExecutionId,
}

impl Reporter {
    pub(crate) fn new(tenants: Arc<Tenants>, worker: &str) -> Reporter {
        let clock = tenants.clock().clone();
        Reporter { tenants, clock, worker: worker.to_owned(), watched: Mutex::default() }
    }

    /// Reports an output until the answer is dropped.
    pub(crate) fn watch(
        self: &Arc<Self>,
        tenant: TenantId,
        execution: ExecutionId,
        output: Output,
    ) -> Watch {
        let watched = Watched { output, reported: 0 };
        self.watched().entry(tenant).or_default().rows.insert(execution, watched);
        Watch { reporter: self.clone(), tenant, execution }
    }

    /// Ticks for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.clock.sleep(TICK).await;
            self.tick();
        }
    }

    /// Sends what is new, each tenant's by a task of its own: a dark one delays no other.
    fn tick(self: &Arc<Self>) {
        for (tenant, of_tenant) in self.watched().iter_mut() {
            if of_tenant.writing {
                continue;
            }
            let mut news = Vec::new();
            for (id, watched) in &mut of_tenant.rows {
                let changes = watched.output.changes();
                if changes > watched.reported {
                    watched.reported = changes;
                    news.push((*id, watched.output.report(false)));
                }
            }
            if !news.is_empty() {
                of_tenant.writing = true;
                tokio::spawn(self.clone().write(*tenant, news));
            }
        }
    }

    async fn write(self: Arc<Self>, tenant: TenantId, mut news: Vec<(ExecutionId, Report)>) {
        news.sort_by_key(|(id, _)| *id);
        let written = match self.tenants.get(tenant) {
            Some(open) if open.health.leave_alone().is_zero() => {
                let written = open.store.report(&news, &self.worker).await;
                written.map_err(|error| {
                    debug!(tenant = open.slug(), "output could not be written: {}", chain(&error));
                })
            }
            _ => Err(()),
        };
        let mut watched = self.watched();
        let Some(of_tenant) = watched.get_mut(&tenant) else { return };
        of_tenant.writing = false;
        if written.is_err() {
            for (id, _) in news {
                if let Some(watched) = of_tenant.rows.get_mut(&id) {
                    watched.reported = 0;
                }
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.reporter.watched();
        if let Some(of_tenant) = watched.get_mut(&self.tenant) {
            of_tenant.rows.remove(&self.execution);
            if of_tenant.rows.is_empty() {
                watched.remove(&self.tenant);
            }
        }
    }
}
