//! Notices jobs that are late: an occurrence should have started a while ago, and waits. Each spell
//! is told once when it begins and once when it ends.
//!
//! What waits is looked at, not what starts: a job on time costs nothing here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::id::{ExecutionId, JobId, TenantId};
use shared::notification::Event;
use shared::random::Random;
use shared::store::{Notification, PollSummary, Result};
use shared::tenants::OpenTenant;
use tracing::{info, warn};

/// How long after a look for late jobs the next one follows.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Nobody is told of less than this, however short a job's grace is.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(60);
/// The most waiting occurrences that one look reads.
const ROWS_MAX: i64 = 1000;

/// Which tenants have late jobs, and when each was looked at.
pub struct Lateness {
    random: Random,
    seen: Mutex<HashMap<TenantId, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Time,
    some_late: bool,
}

impl Lateness {
    /// Knows of nobody yet.
    pub fn new(random: Random) -> Lateness {
        Lateness { random, seen: Mutex::default() }
    }

    /// Looks for late jobs of one tenant, if it is time and there may be some. True: somebody is
    /// told something, and the notification waits to be dispatched.
    pub async fn tick(&self, tenant: &OpenTenant, look: &PollSummary, now: Time) -> Result<bool> {
        let id = tenant.tenant.id;
        let before = self.seen().get(&id).copied();
        let some_wait = look.dispatched > 0 || look.waiting > 0;
        match before {
            Some(Seen { at, .. }) if now < at + delta(LOOK_EVERY) => return Ok(false),
            Some(Seen { some_late: false, .. }) if !some_wait => return Ok(false),
            _ => {}
        }
        let late = late(tenant, now).await?;
        let known: BTreeSet<JobId> = tenant.store.list_late().await?.into_iter().collect();
        let mut told = false;
        for (job, execution) in &late {
            if !known.contains(job) {
                told |= self.tell(tenant, *job, Some(*execution), Event::Late, now).await?;
                warn!(tenant = tenant.slug(), %job, %execution, "late: it should have started a while ago");
            }
        }
        for job in known.iter().filter(|job| !late.contains_key(*job)) {
            told |= self.tell(tenant, *job, None, Event::CaughtUp, now).await?;
            info!(tenant = tenant.slug(), %job, "late no more");
        }
        self.seen().insert(id, Seen { at: now, some_late: !late.is_empty() });
        Ok(told)
    }

    async fn tell(
        &self,
        tenant: &OpenTenant,
        job: JobId,
        execution: Option<ExecutionId>,
        event: Event,
        now: Time,
    ) -> Result<bool> {
        let notification = Notification { event, id: ExecutionId::new(now, &self.random) };
        tenant.store.notify(job, execution, notification, now).await
    }

    /// Forgets tenants that are no more.
    pub fn retain(&self, is_known: impl Fn(TenantId) -> bool) {
        self.seen().retain(|id, _| is_known(*id));
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<TenantId, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Late jobs, each with the oldest occurrence that waits. A job's own grace says what late means.
async fn late(tenant: &OpenTenant, now: Time) -> Result<BTreeMap<JobId, ExecutionId>> {
    let mut late = BTreeMap::new();
    for row in tenant.store.read_unstarted(now - LATE_AFTER, ROWS_MAX).await? {
        let grace = TimeDelta::seconds(row.misfire_grace_seconds.into());
        if row.scheduled_for < now - grace {
            late.entry(row.job_id).or_insert(row.id);
        }
    }
    Ok(late)
}
