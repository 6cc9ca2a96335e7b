//! Detects late jobs: a job is late while one of its occurrences should have started and still waits. A
//! notification is sent when a job becomes late, and another when it has caught up.
//!
//! Only waiting occurrences are read, so a job that is on time costs nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::delta;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::notification::Event;
use shared::random::Random;
use shared::store::{DbTime, Notification, Notified, PollSummary, Result};
use shared::tenants::OpenTenant;
use tracing::{info, warn};

use crate::dispatcher::Remaining;

/// The shortest time between two checks of one tenant.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// A shorter delay is not lateness, however short the job's grace is.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(60);
/// The most waiting occurrences that one check reads.
const ROWS_MAX: i64 = 1000;

/// Detects late jobs.
pub struct Lateness {
    random: Random,
    checks: Mutex<HashMap<TenantId, Check>>,
}

/// The last check of a tenant.
#[derive(Clone, Copy)]
struct Check {
    at: DbTime,
    found_late: bool,
}

impl Lateness {
    /// `random` makes the ids of notifications.
    pub fn new(random: Random) -> Lateness {
        Lateness { random, checks: Mutex::default() }
    }

    /// Checks one tenant for late jobs, if a check is due and there may be some. Returns what is left to do:
    /// a notification that was written waits to be dispatched.
    pub async fn check(
        &self,
        tenant: &OpenTenant,
        summary: &PollSummary,
        now: DbTime,
    ) -> Result<Remaining> {
        let id = tenant.tenant.id;
        let before = self.checks().get(&id).copied();
        match before {
            Some(Check { at, .. }) if now < at + delta(CHECK_EVERY) => {
                return Ok(Remaining::Nothing);
            }
            Some(Check { found_late: false, .. }) if !summary.is_in_progress() => {
                return Ok(Remaining::Nothing);
            }
            _ => {}
        }
        let late = late(tenant, now).await?;
        let known: BTreeSet<JobId> = tenant.store.list_late().await?.into_iter().collect();
        let mut notified = false;
        for (job, execution) in &late {
            if !known.contains(job) {
                let written = self.notify(tenant, *job, Some(*execution), Event::Late, now).await?;
                notified |= written == Notified::Inserted;
                warn!(tenant = tenant.slug(), %job, %execution, "late: it should have started a while ago");
            }
        }
        for job in known.iter().filter(|job| !late.contains_key(*job)) {
            let written = self.notify(tenant, *job, None, Event::CaughtUp, now).await?;
            notified |= written == Notified::Inserted;
            info!(tenant = tenant.slug(), %job, "no longer late");
        }
        self.checks().insert(id, Check { at: now, found_late: !late.is_empty() });
        Ok(if notified { Remaining::More } else { Remaining::Nothing })
    }

    async fn notify(
        &self,
        tenant: &OpenTenant,
        job: JobId,
        execution: Option<ExecutionId>,
        event: Event,
        now: DbTime,
    ) -> Result<Notified> {
        let notification = Notification { event, id: ExecutionId::new(now.time(), &self.random) };
        tenant.store.notify(job, execution, notification, now).await
    }

    /// Forgets tenants that no longer exist.
    pub fn retain(&self, is_known: impl Fn(TenantId) -> bool) {
        self.checks().retain(|id, _| is_known(*id));
    }

    fn checks(&self) -> MutexGuard<'_, HashMap<TenantId, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The late jobs, each with its oldest waiting occurrence. Each job's grace decides when it is late.
async fn late(tenant: &OpenTenant, now: DbTime) -> Result<BTreeMap<JobId, ExecutionId>> {
    let mut late = BTreeMap::new();
    for row in tenant.store.read_unstarted(now - LATE_AFTER, ROWS_MAX).await? {
        let grace = TimeDelta::seconds(row.misfire_grace_seconds.into());
        if row.scheduled_for < now - grace {
            late.entry(row.job_id).or_insert(row.id);
        }
    }
    Ok(late)
}
