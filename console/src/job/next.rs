//! `polychron job next`: when a job is due, with its own `H` and jitter.

use clap::Args;
use shared::schedule::Spread;

use super::find;
use crate::exit::Failure;
use crate::output::say;
use crate::schedule;
use crate::session::{Session, mind_suspension};

#[derive(Args)]
pub(crate) struct Next {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
    /// How many at most
    #[arg(short, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    n: u16,
}

pub(super) async fn run(arguments: Next, session: &Session) -> Result<(), Failure> {
    let Next { tenant, job, n } = arguments;
    let (tenant, store, now) = session.enter(&tenant).await?;
    let job = find(&tenant, &store, &job).await?;
    let text = job.schedule.to_string();
    let read = schedule::read(&text, Spread::new(tenant.id, job.id));
    let schedule = read.map_err(|failure| Failure::Failed(failure.to_string()))?;
    mind_suspension(&tenant);
    if !job.is_enabled {
        say(&format!("job {} is paused; it would be due at:", job.name));
    }
    // What the producer has worked out comes first, even when it is late.
    let first = job.next_run_at.or_else(|| schedule.first_after(now));
    schedule::show(&schedule, first, n, session.output)
}
