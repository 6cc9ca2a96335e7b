//! `polychron forecast`: the coming load of all tenants, its peaks, and how many consumers it needs.

mod chart;

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Time;
use shared::id::JobId;
use shared::schedule::{Schedule, Spread};
use shared::store::PlannedLoad;
use shared::tenant::{Tenant, TenantStatus};

use crate::output::{Column, Output, column, say, time};
use crate::session::Session;
use operations::failure::Failure;
use operations::forecast::{Minute, Peak, Planned, Range, load, peaks, slots_needed};

/// How many databases are read at once.
const AT_ONCE: usize = 8;
/// How many jobs are read at once from one.
const PAGE: i64 = 1000;
/// The longest range, in days: a month in minutes.
const DAYS_MAX: i64 = 31;

#[derive(Args)]
#[command(after_help = "Examples:
  polychron forecast
  polychron forecast --from 2026-12-01T00:00:00Z --to 2026-12-02T00:00:00Z --peaks 10
  polychron forecast --tenant acme -o json")]
pub struct Forecast {
    /// Where to begin, such as 2026-12-01T00:00:00Z; now by default
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    from: Option<Time>,
    /// Where to end; a day after the beginning by default
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    to: Option<Time>,
    /// Only this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// How many peaks to show: the minutes with the most starts
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(0..=1000))]
    peaks: u16,
    /// How long work may wait for a slot
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// The assumed duration of a job that has not run yet
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    assume: Duration,
}

/// The forecast.
#[derive(Serialize)]
struct Outlook {
    from: Time,
    to: Time,
    tenants: usize,
    jobs: usize,
    /// Jobs that have not run yet, so that their duration is assumed.
    assumed: usize,
    starts: u64,
    /// The fewest slots that keep up.
    slots: u64,
    /// The fewest consumers, each with the slots that the settings give it.
    consumers: u64,
    /// The slots of one consumer.
    prefetch: u64,
    peaks: Vec<Peak>,
    minutes: Vec<Minute>,
}

const PEAKS: &[Column<Peak>] = &[
    column("PEAK (UTC)", |peak| time(Some(peak.at))),
    column("STARTS", |peak| peak.minute.starts.to_string()),
    column("SLOTS", |peak| format!("{:.1}", peak.minute.slots)),
    column("MOST BY", |peak| {
        let by = peak.by.iter().map(|by| format!("{}/{} ×{}", by.tenant, by.job, by.starts));
        by.collect::<Vec<_>>().join(", ")
    }),
];

/// What was read from the tenants' databases.
#[derive(Default)]
struct Read {
    jobs: Vec<Planned>,
    tenants: usize,
    assumed: usize,
    failed: usize,
}

pub(crate) async fn run(arguments: Forecast, session: &Session) -> Result<(), Failure> {
    let range = range(&arguments, session).await?;
    let read = read(&arguments, session).await?;
    let minutes = load(&range, &read.jobs);
    let slots = slots_needed(&minutes, arguments.wait.as_secs_f64());
    let prefetch = session.context.config.prefetch as u64;
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
        peaks: peaks(&range, &minutes, &read.jobs, arguments.peaks.into()),
        minutes,
    };
    show(&outlook, &arguments, session.output)?;
    match read.failed {
        0 => Ok(()),
        failed => Err(Failure::SomeTenants { failed, all: read.tenants + failed }),
    }
}

async fn range(arguments: &Forecast, session: &Session) -> Result<Range, Failure> {
    let from = match arguments.from {
        Some(from) => from,
        None => session.context.control.now().await.map_err(Failure::control)?.time(),
    };
    let to = arguments.to.unwrap_or(from + TimeDelta::days(1));
    if to <= from {
        let (to, from) = (time(Some(to)), time(Some(from)));
        let text = format!("--to: {to} is not after {from}; name a later time");
        return Err(Failure::Usage(text));
    }
    if to - from > TimeDelta::days(DAYS_MAX) {
        let text =
            format!("--to: more than {DAYS_MAX} days after the beginning; name an earlier time");
        return Err(Failure::Usage(text));
    }
    Ok(Range::new(from, to))
}

/// Reads the jobs of the active tenants, a few databases at once. A tenant that fails is reported and
/// left out.
async fn read(arguments: &Forecast, session: &Session) -> Result<Read, Failure> {
    let tenants = match &arguments.tenant {
        Some(slug) => vec![session.context.tenant(slug).await?],
        None => session.context.control.list_tenants().await.map_err(Failure::control)?,
    };
    let active = tenants.into_iter().filter(|tenant| tenant.status == TenantStatus::Active);
    let ask = |tenant: Tenant| async {
        let answer = jobs_of(&tenant, session).await;
        (tenant, answer)
    };
    let mut answers = stream::iter(active).map(ask).buffered(AT_ONCE);
    let mut read = Read::default();
    while let Some((tenant, answer)) = answers.next().await {
        match answer {
            Ok(jobs) => read.add(&tenant, jobs, arguments.assume.as_secs_f64()),
            Err(failure) => {
                say(&failure.to_string());
                read.failed += 1;
            }
        }
    }
    Ok(read)
}

async fn jobs_of(tenant: &Tenant, session: &Session) -> Result<Vec<PlannedLoad>, Failure> {
    let store = session.context.store(tenant)?;
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

fn show(outlook: &Outlook, arguments: &Forecast, output: Output) -> Result<(), Failure> {
    if outlook.assumed > 0 {
        let assume = humantime::format_duration(arguments.assume);
        say(&format!(
            "jobs that have not run yet: {}; each is taken to last {assume} (--assume)",
            outlook.assumed
        ));
    }
    if !output.is_for_people() {
        return output.record(outlook, &[]);
    }
    output.text(&chart::draw(outlook.from, outlook.to, &outlook.minutes))?;
    if !outlook.peaks.is_empty() {
        output.list(&outlook.peaks, PEAKS)?;
    }
    let Outlook { tenants, jobs, starts, slots, consumers, prefetch, .. } = outlook;
    let wait = humantime::format_duration(arguments.wait);
    output.text(&format!(
        "\n{starts} starts by {jobs} jobs of {tenants} tenants. Slots needed, if nothing is to wait \
         longer than {wait}: {slots}; consumers of {prefetch} slots: {consumers}.\n"
    ))?;
    Ok(())
}
