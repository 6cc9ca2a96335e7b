//! `polychron job next`: when a job is due, with its own `H` and jitter.

use clap::Args;

use super::everywhere;
use crate::each_tenant::{Jobs, each};
use crate::output::say;
use crate::schedule;
use crate::session::{Session, mention_suspension};
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::{find, next_time, schedule_of};
use operations::schedule::due;

#[derive(Args)]
pub struct Next {
    #[command(flatten)]
    jobs: Jobs,
    /// How many at most
    #[arg(short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    n: u16,
}

pub(super) async fn run(arguments: Next, session: &Session) -> Result<(), Failure> {
    let Next { jobs, n } = arguments;
    let (tenant, name) = jobs.named();
    let Some(slug) = tenant else { return everywhere_due(&name, n, session).await };
    let at = session.context.enter(&slug).await?;
    let job = find(&at, &name).await?;
    let schedule = schedule_of(&at, &job)?;
    mention_suspension(&at.tenant);
    if !job.is_enabled {
        say(&format!("job {} is paused; it would be due at:", job.name));
    }
    schedule::show(&schedule, next_time(&at, &job, &schedule), n, session.output)
}

/// Of paused jobs and suspended tenants, too: when it would be due.
async fn everywhere_due(name: &str, n: u16, session: &Session) -> Result<(), Failure> {
    let (mut fan_out, _) = everywhere::find(name, session).await?;
    let next = async |at: &TenantContext| {
        let job = find(at, name).await?;
        let schedule = schedule_of(at, &job)?;
        Ok(Some(due(&schedule, next_time(at, &job, &schedule), n)))
    };
    let times = each(fan_out.ask("working out", next).await);
    fan_out.show(&times, schedule::COLUMNS).await
}
