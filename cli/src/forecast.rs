//! `polychron forecast`: the coming load of all tenants, its peaks, and how many consumers it needs.

mod chart;

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use operations::failure::Failure;
use operations::forecast::{Forecast, Outlook, Peak, Question, Range, forecast};
use operations::format::counted;
use shared::clock::Time;

use crate::output::{Column, Output, column, say, time};
use crate::session::Session;

/// The longest range, in days: a month in minutes.
const DAYS_MAX: i64 = 31;

#[derive(Args)]
#[command(after_help = "Examples:
  polychron forecast
  polychron forecast --from 2026-12-01T00:00:00Z --to 2026-12-02T00:00:00Z --peaks 10
  polychron forecast --tenant acme -o json")]
pub struct Arguments {
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

const PEAKS: &[Column<Peak>] = &[
    column("PEAK (UTC)", |peak| time(Some(peak.at))),
    column("STARTS", |peak| peak.minute.starts.to_string()),
    column("SLOTS", |peak| format!("{:.1}", peak.minute.slots)),
    column("MOST BY", |peak| {
        let by = peak.by.iter().map(|by| format!("{}/{} ×{}", by.tenant, by.job, by.starts));
        by.collect::<Vec<_>>().join(", ")
    }),
];

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let question = Question {
        range: range(&arguments, session).await?,
        tenant: arguments.tenant.clone(),
        peaks: arguments.peaks.into(),
        patience: arguments.wait,
        assume: arguments.assume,
    };
    let Forecast { outlook, failures } = forecast(&session.context, &question).await?;
    failures.iter().for_each(|failure| say(&failure.to_string()));
    show(&outlook, &arguments, session.output)?;
    match failures.len() {
        0 => Ok(()),
        failed => Err(Failure::SomeTenants { failed, all: outlook.tenants + failed }),
    }
}

async fn range(arguments: &Arguments, session: &Session) -> Result<Range, Failure> {
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

fn show(outlook: &Outlook, arguments: &Arguments, output: Output) -> Result<(), Failure> {
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
        "\n{} by {} of {}. Slots needed, if nothing is to wait \
         longer than {wait}: {slots}; consumers of {}: {consumers}.\n",
        counted(*starts as usize, "start"),
        counted(*jobs, "job"),
        counted(*tenants, "tenant"),
        counted(*prefetch as usize, "slot"),
    ))?;
    Ok(())
}
