//! The coming load of the tenants, read from their databases.

mod load;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Time;
use shared::id::JobId;
use shared::schedule::{Schedule, Spread};
use shared::store::PlannedLoad;
use shared::tenant::{Tenant, TenantStatus};

use super::context::Context;
use super::failure::Failure;
use load::{Planned, load, peaks, slots_needed};

pub use load::{Maker, Minute, Peak, Range};

/// How many databases are read at once.
const AT_ONCE: usize = 8;
/// How many jobs are read at once from one.
const PAGE: i64 = 1000;

/// What to forecast.
pub struct Question {
    /// The minutes.
    pub range: Range,
    /// Only this tenant, by its slug; none: all active ones.
    pub tenant: Option<String>,
    /// How many peaks to name.
    pub peaks: usize,
    /// How long work may wait for a slot.
    pub patience: Duration,
    /// The assumed duration of a job that has not run yet.
    pub assume: Duration,
}

/// The forecast.
#[derive(Serialize)]
pub struct Outlook {
    /// Where it begins.
    pub from: Time,
    /// Where it ends.
    pub to: Time,
    /// How many active tenants were read.
    pub tenants: usize,
    /// How many enabled jobs they have.
    pub jobs: usize,
    /// Jobs that have not run yet, so that their duration is assumed.
    pub assumed: usize,
    /// How many executions start.
    pub starts: u64,
    /// The fewest slots that keep up.
    pub slots: u64,
    /// The fewest consumers, each with the slots that the settings give it.
    pub consumers: u64,
    /// The slots of one consumer.
    pub prefetch: u64,
    /// The minutes with the most starts.
    pub peaks: Vec<Peak>,
    /// The load, minute by minute.
    pub minutes: Vec<Minute>,
}

/// A forecast, and why tenants are missing in it.
pub struct Forecast {
    /// The load of the tenants that could be read.
    pub outlook: Outlook,
    /// A failure for each tenant that could not.
    pub failures: Vec<Failure>,
}

/// What was read from the tenants' databases.
#[derive(Default)]
struct Read {
    jobs: Vec<Planned>,
    tenants: usize,
    assumed: usize,
    failures: Vec<Failure>,
}

/// Computes a forecast.
///
/// # Errors
/// When the tenants cannot be listed, or the named one doesn't exist.
pub async fn forecast(context: &Context, question: &Question) -> Result<Forecast, Failure> {
    let Question { range, tenant, peaks: peaks_max, patience, assume } = question;
    let read = read(context, tenant.as_deref(), assume.as_secs_f64()).await?;
    let minutes = load(range, &read.jobs);
    let slots = slots_needed(&minutes, patience.as_secs_f64());
    let prefetch = context.config.prefetch as u64;
    let outlook = Outlook {
        from: range.from(),
        to: range.at(range.minutes()),
        tenants: read.tenants,
        jobs: read.jobs.len(),
        assumed: read.assumed,
        starts: minutes.iter().map(|minute| minute.starts).sum(),
        slots,
        consumers: slots.div_ceil(prefetch),
        prefetch,
        peaks: peaks(range, &minutes, &read.jobs, *peaks_max),
        minutes,
    };
    Ok(Forecast { outlook, failures: read.failures })
}

/// Reads the jobs of the active tenants, a few databases at once.
async fn read(context: &Context, tenant: Option<&str>, assume: f64) -> Result<Read, Failure> {
    let tenants = match tenant {
        Some(slug) => vec![context.tenant(slug).await?],
        None => context.control.list_tenants().await.map_err(Failure::control)?,
    };
    let active = tenants.into_iter().filter(|tenant| tenant.status == TenantStatus::Active);
    let ask = |tenant: Tenant| async {
        let answer = jobs_of(&tenant, context).await;
        (tenant, answer)
    };
    let mut answers = stream::iter(active).map(ask).buffered(AT_ONCE);
    let mut read = Read::default();
    while let Some((tenant, answer)) = answers.next().await {
        match answer {
            Ok(jobs) => read.add(&tenant, jobs, assume),
            Err(failure) => read.failures.push(failure),
        }
    }
    Ok(read)
}

async fn jobs_of(tenant: &Tenant, context: &Context) -> Result<Vec<PlannedLoad>, Failure> {
    let store = context.store(tenant)?;
    let mut jobs: Vec<PlannedLoad> = Vec::new();
    loop {
        let after = jobs.last().map_or(JobId(0), |last| last.id);
        let page = store.plan_load(after, PAGE).await;
        let page = page.map_err(|error| Failure::tenant(tenant, error))?;
        let is_last = (page.len() as i64) < PAGE;
        jobs.extend(page);
        if is_last {
            return Ok(jobs);
        }
    }
}

impl Read {
    fn add(&mut self, tenant: &Tenant, jobs: Vec<PlannedLoad>, assume: f64) {
        self.tenants += 1;
        for PlannedLoad { id, name, schedule, overlap_policy, seconds } in jobs {
            // The producer quarantines a job whose schedule cannot be read.
            let Ok(schedule) = Schedule::read(&schedule, Spread::new(tenant.id, id)) else {
                continue;
            };
            self.assumed += usize::from(seconds.is_none());
            self.jobs.push(Planned {
                tenant: tenant.slug.clone(),
                job: name,
                schedule,
                overlap: overlap_policy,
                seconds: seconds.unwrap_or(assume).max(0.0),
            });
        }
    }
}
