//! Writes the output and progress of running handlers to their rows.
//!
//! One statement per tenant writes everything that is new, every two seconds at most. What cannot
//! be written is written the next time, or with the result; nothing waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Clock;
use shared::id::{ExecutionId, TenantId};
use shared::output::{Output, Report};
use shared::store::chain;
use shared::tenants::Tenants;
use tracing::debug;

/// How often new output is written.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// The outputs of running handlers.
pub(crate) struct Reporter {
    tenants: Arc<Tenants>,
    clock: Clock,
    worker: String,
    watched: Mutex<HashMap<TenantId, WatchedByTenant>>,
}

#[derive(Default)]
struct WatchedByTenant {
    rows: HashMap<ExecutionId, Watched>,
    /// Whether a statement is under way.
    writing: bool,
}

struct Watched {
    output: Output,
    /// [`Output::changes`] at the last report.
    reported: u64,
}

/// An output that is reported until this is dropped.
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

    /// Reports an output until the returned guard is dropped.
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

    /// Reports until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.clock.sleep(REPORT_EVERY).await;
            self.report_all();
        }
    }

    /// Writes new output, with a task per tenant: an unreachable database delays no other tenant.
    fn report_all(self: &Arc<Self>) {
        for (tenant, of_tenant) in self.watched().iter_mut() {
            if of_tenant.writing {
                continue;
            }
            let mut reports = Vec::new();
            for (id, watched) in &mut of_tenant.rows {
                let changes = watched.output.changes();
                if changes > watched.reported {
                    watched.reported = changes;
                    reports.push((*id, watched.output.report()));
                }
            }
            if !reports.is_empty() {
                of_tenant.writing = true;
                tokio::spawn(self.clone().write(*tenant, reports));
            }
        }
    }

    async fn write(self: Arc<Self>, tenant: TenantId, mut reports: Vec<(ExecutionId, Report)>) {
        reports.sort_by_key(|(id, _)| *id);
        let written = match self.tenants.get(tenant) {
            Some(open) if open.health.breaker_open_for().is_zero() => {
                let written = open.store.report(&reports, &self.worker).await;
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
            for (id, _) in reports {
                if let Some(watched) = of_tenant.rows.get_mut(&id) {
                    watched.reported = 0;
                }
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<TenantId, WatchedByTenant>> {
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
