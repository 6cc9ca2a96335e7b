//! Next times that are not what their schedules say.

use std::sync::Arc;

use shared::clock::Time;
use shared::id::JobId;
use shared::job::Job;
use shared::replan::{Deviation, Review};
use shared::schedule::ZoneRules;
use shared::store::{PlannedJob, Store, StoreError};
use shared::tenant::Tenant;

use crate::finding::Finding;
use crate::format::time;

/// How many jobs are read at a time.
const PAGE: i64 = 500;
/// How many of a tenant's jobs are named.
const NAMED_MAX: usize = 20;

/// What is wrong with one job's next time; none if it is its schedule's.
pub(crate) async fn of_job(
    tenant: &Tenant,
    store: &Store,
    job: &Job,
) -> Result<Option<Finding>, StoreError> {
    let Some(next_run_at) = job.next_run_at else { return Ok(None) };
    let planned = PlannedJob {
        id: job.id,
        name: job.name.clone(),
        version: job.version,
        schedule: job.schedule.to_string(),
        next_run_at,
        schedule_since: job.schedule_since.unwrap_or(job.created_at),
    };
    let deviation = review(tenant, store).await?.examine(&planned).await?;
    Ok(deviation.map(|deviation| finding("schedule", tenant, &planned, deviation)))
}

/// What is wrong with the next times of a tenant's jobs.
pub(crate) async fn of_tenant(tenant: &Tenant, store: &Store) -> Result<Vec<Finding>, StoreError> {
    let review = review(tenant, store).await?;
    let subject = format!("tenant {}", tenant.slug);
    let (mut findings, mut after) = (Vec::new(), JobId(0));
    loop {
        let page = store.read_planned(after, review.planned_after(), PAGE).await?;
        for job in &page {
            if let Some(deviation) = review.examine(job).await? {
                findings.push(finding(&subject, tenant, job, deviation));
            }
            if findings.len() == NAMED_MAX {
                return Ok(findings);
            }
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => after = last.id,
            _ => return Ok(findings),
        }
    }
}

async fn review<'a>(tenant: &Tenant, store: &'a Store) -> Result<Review<'a>, StoreError> {
    let (now, rules): (_, Arc<ZoneRules>) = (store.now().await?, ZoneRules::current());
    Ok(Review { tenant: tenant.id, store, now, rules })
}

fn finding(subject: &str, tenant: &Tenant, job: &PlannedJob, deviation: Deviation) -> Finding {
    let PlannedJob { name, next_run_at, .. } = job;
    let shown = |at: Time| time(Some(at));
    let due = format!("job {name} is due next at {}", shown(*next_run_at));
    let producer =
        "a producer corrects it when it next examines this tenant, at the latest when it starts";
    match deviation {
        Deviation::WrongClock { showed, instead } => {
            let finding = format!(
                "{due}, and not at {} as its schedule says: the database's clock showed {} when that was \
                 worked out",
                shown(instead),
                shown(showed)
            );
            Finding::problem(subject, finding, producer)
        }
        Deviation::EarlierRules { instead } => {
            let instead = instead.map_or_else(|| "never again".to_owned(), shown);
            let finding =
                format!("{due} by earlier time zone rules; by those in force, that is {instead}");
            Finding::problem(subject, finding, producer)
        }
        Deviation::Postponed { own } => {
            let finding = format!(
                "{due}, although its schedule has {}: something other than the engine has set \
                 `next_run_at`, which is respected",
                shown(own)
            );
            let slug = &tenant.slug;
            let remedy = format!(
                "if nobody meant that, `polychron job pause {slug} {name}` and `job resume` work it out anew"
            );
            Finding::problem(subject, finding, remedy).warning()
        }
    }
}
