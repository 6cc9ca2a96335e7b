//! Removes old history, so that tables don't grow without limit: executions by age and by number, and in
//! the control database old audit entries and dead workers.
//!
//! Pruning is not urgent. A poll that has nothing more urgent to do removes one small batch, and the next
//! pass through a tenant's jobs starts an hour after the last. Two producers can prune the same tenant
//! without harm.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{Time, delta};
use shared::config::Config;
use shared::id::{JobId, TenantId};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{Control, DbTime, Keep, Result, StoreError};
use shared::tenants::OpenTenant;
use tracing::info;

/// How long after a pass through a tenant's jobs the next one starts.
const PASS_EVERY: Duration = Duration::from_secs(3600);
/// How long after a step of a pass the next one follows.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// The most occurrences that one step removes.
const BATCH_MAX: i64 = 500;
/// The most jobs that one step examines to find executions that may be removed.
const JOBS_MAX: usize = 20;
/// This many of a job's newest executions are always kept.
const NEWEST: i64 = 10;
/// An execution that ended more recently than this is kept, however old its occurrence is.
const KEPT_AFTER_END: Duration = Duration::from_secs(3600);
/// The row of a worker that has been dead for this long is removed.
const DEAD_WORKER_KEPT_FOR: Duration = Duration::from_secs(3600);
/// The most audit entries that one step examines.
const AUDIT_BATCH_MAX: i64 = 500;

/// Removes old history, by the settings of the producer.
pub struct Pruner {
    executions: Option<Duration>,
    per_job: Option<i64>,
    audit: Option<Duration>,
    random: Random,
    metrics: Metrics,
    passes: Mutex<HashMap<TenantId, Pass>>,
    /// When the control database is pruned next.
    control_at: Mutex<Option<DbTime>>,
}

/// A tenant's pass.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// The last job that is done.
    after: JobId,
    /// How many executions the pass has removed.
    removed: u64,
    /// When it continues, or starts.
    at: DbTime,
}

/// Whether a pass goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Continues,
    PassOver,
}

impl Pruner {
    /// A pruner with the producer's settings.
    pub fn new(config: &Config, random: Random, metrics: Metrics) -> Pruner {
        Pruner {
            executions: config.keep,
            per_job: config.keep_per_job,
            audit: config.keep_audit,
            random,
            metrics,
            passes: Mutex::default(),
            control_at: Mutex::default(),
        }
    }

    /// Makes one step at one tenant, if one is due. Returns how long until the next step of the same
    /// pass; none: no pass is in progress.
    pub async fn step(&self, tenant: &OpenTenant, now: DbTime) -> Result<Option<Duration>> {
        if self.executions.is_none() && self.per_job.is_none() {
            return Ok(None);
        }
        let id = tenant.tenant.id;
        // The first passes are spread, so that thousands of tenants don't start at the same time.
        let first = || now + delta(PASS_EVERY.mul_f64(self.random.unit()));
        let mut pass = *self.passes().entry(id).or_insert_with(|| Pass::at(first()));
        if pass.at > now {
            return Ok(None);
        }
        let progress = self.remove_batch(tenant, &mut pass, now).await?;
        if progress == Progress::PassOver {
            if pass.removed > 0 {
                info!(tenant = tenant.slug(), count = pass.removed, "removed old executions");
            }
            pass = Pass::at(now + delta(PASS_EVERY));
        }
        self.passes().insert(id, pass);
        Ok((progress == Progress::Continues).then_some(STEP_EVERY))
    }

    /// When a tenant's pass continues, or the next one starts. None: there has been no step yet.
    pub fn next_at(&self, tenant: TenantId) -> Option<Time> {
        self.passes().get(&tenant).map(|pass| pass.at.time())
    }

    /// Removes one batch, of the next job that has something to remove.
    async fn remove_batch(
        &self,
        tenant: &OpenTenant,
        pass: &mut Pass,
        now: DbTime,
    ) -> Result<Progress> {
        let keep = Keep {
            newest: NEWEST,
            per_job: self.per_job,
            since: self.executions.map(|kept| now - delta(kept)),
            finished_before: now - delta(KEPT_AFTER_END),
        };
        pass.at = now + delta(STEP_EVERY);
        for _ in 0..JOBS_MAX {
            let Some(job) = tenant.store.next_history(pass.after).await? else {
                return Ok(Progress::PassOver);
            };
            let removed = match tenant.store.prune(job, &keep, BATCH_MAX).await {
                // Another session has locked some row. The job is pruned in the next pass.
                Err(StoreError::Conflict(_)) => 0,
                removed => removed?,
            };
            if removed > 0 {
                pass.removed += removed;
                self.metrics.pruned("execution", removed);
                return Ok(Progress::Continues);
            }
            pass.after = job;
        }
        Ok(Progress::Continues)
    }

    /// Makes one step at the control database, if one is due.
    pub async fn step_control(&self, control: &Control, now: DbTime) -> Result<()> {
        if self.control_at().is_some_and(|at| at > now) {
            return Ok(());
        }
        let workers = control.prune_workers(now - delta(DEAD_WORKER_KEPT_FOR)).await?;
        self.metrics.pruned("worker", workers);
        let mut wait = PASS_EVERY;
        if let Some(kept) = self.audit {
            let removed = control.prune_audit(now - delta(kept), AUDIT_BATCH_MAX).await?;
            self.metrics.pruned("audit", removed);
            if removed > 0 {
                wait = STEP_EVERY; // there may be more
            }
        }
        *self.control_at() = Some(now + delta(wait));
        Ok(())
    }

    /// Forgets the passes of tenants that no longer exist.
    pub fn retain(&self, is_known: impl Fn(TenantId) -> bool) {
        self.passes().retain(|id, _| is_known(*id));
    }

    fn passes(&self) -> MutexGuard<'_, HashMap<TenantId, Pass>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control_at(&self) -> MutexGuard<'_, Option<DbTime>> {
        self.control_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    fn at(at: DbTime) -> Pass {
        Pass { after: JobId(i64::MIN), removed: 0, at }
    }
}
