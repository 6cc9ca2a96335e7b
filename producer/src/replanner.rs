//! Works next times out anew where they are wrong: after a change of time zone rules, and after the clock
//! was ahead. `shared/src/replan.rs` says what is certain enough to be corrected.
//!
//! All jobs of a tenant are examined, page by page, when a producer begins to watch the tenant, when the
//! rules have changed, and when the database's clock was set back or its content is older than before. A
//! time that new rules have moved must not be dispatched, so in that case nothing is until all pages are
//! done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use shared::clock::{BootTime, delta};
use shared::id::{JobId, TenantId};
use shared::replan::{Deviation, Review};
use shared::schedule::ZoneRules;
use shared::store::{DbTime, PlannedJob, PollSummary, Result};
use shared::tenants::OpenTenant;
use tracing::{info, warn};

use crate::dispatcher::Remaining;

/// How many jobs are examined at a time.
const PAGE: i64 = 200;
/// A clock that goes back by less is not set, but read inexactly.
const STEP_MIN: TimeDelta = TimeDelta::seconds(2);
/// A step of the clock that is worth a warning.
const STEP_WARNED: TimeDelta = TimeDelta::seconds(60);
/// Rules that ended longer ago have no next time any more that was worked out by them.
const RULES_RECENT: TimeDelta = TimeDelta::days(30);
/// How long after their time new rules are used by every producer that can read them.
const RULES_SPREAD: TimeDelta = TimeDelta::seconds(30);

/// Examines the next times of the tenants' jobs.
#[derive(Default)]
pub struct Replanner {
    tenants: Mutex<HashMap<TenantId, Progress>>,
}

/// How far the examination of a tenant has come.
#[derive(Clone)]
struct Progress {
    /// The rules that the next times are compared with.
    rules: Arc<ZoneRules>,
    /// When this examination began.
    begun: DbTime,
    /// The last job that was examined; none: all are.
    after: Option<JobId>,
    /// How many jobs were found whose next time something else has postponed, and the name of the first.
    postponed: (u64, Option<String>),
    /// What was seen at the last poll.
    seen: Seen,
}

#[derive(Clone, Copy)]
struct Seen {
    now: DbTime,
    boot_time: BootTime,
    dispatch_no: i64,
}

impl Seen {
    /// By how much the database's clock was set between two polls; negative if it was set back.
    fn step(&self, now: DbTime, boot_time: BootTime) -> TimeDelta {
        (now - self.now) - delta(boot_time - self.boot_time)
    }
}

impl Replanner {
    /// Whether a tenant must be polled although nothing in its database has changed: the rules or the
    /// clock of this machine, which is an SQLite file's, were changed.
    pub fn wants_poll(&self, tenant: &OpenTenant, boot_time: BootTime) -> bool {
        let tenants = self.tenants();
        let Some(progress) = tenants.get(&tenant.tenant.id) else { return false };
        let now = tenant.store.time_on_this_machine();
        !Arc::ptr_eq(&progress.rules, &ZoneRules::current())
            || now.is_some_and(|now| progress.seen.step(now, boot_time) < -STEP_MIN)
    }

    /// Examines the jobs of a tenant as far as that is due. `now` and `boot_time` are the same moment.
    /// If a next time has changed, it may be due already, so more remains.
    pub async fn step(
        &self,
        tenant: &OpenTenant,
        summary: &PollSummary,
        (now, boot_time): (DbTime, BootTime),
    ) -> Result<Remaining> {
        let seen = Seen { now, boot_time, dispatch_no: summary.dispatch_no };
        let mut progress = self.begin(tenant, seen);
        let Some(mut after) = progress.after else {
            self.tenants().insert(tenant.tenant.id, progress);
            return Ok(Remaining::Nothing);
        };
        let (store, rules) = (&*tenant.store, progress.rules.clone());
        let review = Review { tenant: tenant.tenant.id, store, now, rules };
        let mut remaining = Remaining::Nothing;
        if after == JobId(0) && store.correct_future(now).await? > 0 {
            remaining = Remaining::More;
        }
        let recent = progress.rules.earlier().is_some_and(|it| now - it.until < RULES_RECENT);
        loop {
            let jobs = store.read_planned(after, review.planned_after(), PAGE).await?;
            for job in &jobs {
                // Other tenants' polls share this thread, and a schedule may take long.
                tokio::task::yield_now().await;
                if let Some(deviation) = review.examine(job).await?
                    && self.correct(tenant, job, deviation, now, &mut progress).await?
                {
                    remaining = Remaining::More;
                }
            }
            match jobs.last() {
                Some(last) if jobs.len() as i64 == PAGE => after = last.id,
                _ => {
                    progress.finish(tenant);
                    break;
                }
            }
            progress.after = Some(after);
            if !recent {
                remaining = Remaining::More;
                break;
            }
        }
        self.tenants().insert(tenant.tenant.id, progress);
        Ok(remaining)
    }

    /// What is known of a tenant, with a new examination if one is needed.
    fn begin(&self, tenant: &OpenTenant, seen: Seen) -> Progress {
        let rules = ZoneRules::current();
        let anew = || Progress {
            rules: rules.clone(),
            begun: seen.now,
            after: Some(JobId(0)),
            postponed: (0, None),
            seen,
        };
        let known = self.tenants().get(&tenant.tenant.id).cloned();
        let Some(known) = known else { return anew() };
        let step = known.seen.step(seen.now, seen.boot_time);
        let by = humantime::format_duration(
            TimeDelta::seconds(step.num_seconds().abs()).to_std().unwrap_or_default(),
        );
        if step <= -STEP_WARNED {
            warn!(
                tenant = tenant.slug(),
                "the clock of the tenant's database was set back by {by}"
            );
        } else if step >= STEP_WARNED {
            warn!(
                tenant = tenant.slug(),
                "the clock of the tenant's database was set forward by {by}"
            );
        }
        let is_restored = seen.dispatch_no < known.seen.dispatch_no;
        if is_restored {
            warn!(
                tenant = tenant.slug(),
                "the tenant's database was restored from an earlier state: it counts {} dispatches, and counted {}",
                seen.dispatch_no,
                known.seen.dispatch_no
            );
        }
        // Another producer may have dispatched by the earlier rules for a moment longer.
        let settled = rules.earlier().map(|earlier| earlier.until + RULES_SPREAD);
        let has_settled = settled.is_some_and(|at| known.begun < at && seen.now >= at);
        let is_set_back = step < -STEP_MIN;
        if is_restored || is_set_back || has_settled || !Arc::ptr_eq(&known.rules, &rules) {
            return anew();
        }
        Progress { seen, ..known }
    }

    /// Corrects a next time if that is certain to be right. False: it stays.
    async fn correct(
        &self,
        tenant: &OpenTenant,
        job: &PlannedJob,
        deviation: Deviation,
        now: DbTime,
        progress: &mut Progress,
    ) -> Result<bool> {
        let Some(correction) = deviation.correction() else {
            progress.postponed.0 += 1;
            progress.postponed.1.get_or_insert_with(|| job.name.clone());
            return Ok(false);
        };
        if !tenant.store.replan(job, correction, now).await?.is_applied() {
            return Ok(false);
        }
        let next = correction.map_or_else(|| "none".to_owned(), |next| next.to_string());
        let why = match deviation {
            Deviation::WrongClock { showed, .. } => {
                format!("the database's clock showed {showed} when it was worked out")
            }
            Deviation::EarlierRules { .. } | Deviation::Postponed { .. } => {
                format!("the time zone rules are those of {} now", progress.rules.version())
            }
        };
        info!(
            tenant = tenant.slug(),
            job = job.name,
            "the next time is {next} instead of {}: {why}",
            job.next_run_at
        );
        Ok(true)
    }

    /// Forgets tenants that no longer exist.
    pub fn retain(&self, exists: impl Fn(TenantId) -> bool) {
        self.tenants().retain(|id, _| exists(*id));
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Progress>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn finish(&mut self, tenant: &OpenTenant) {
        self.after = None;
        if let (count, Some(job)) = std::mem::take(&mut self.postponed) {
            warn!(
                tenant = tenant.slug(),
                job,
                count,
                "next times are later than their schedules say; something other than the engine has set them"
            );
        }
    }
}
