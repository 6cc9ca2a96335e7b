//! `polychron job list`.

use shared::job::Job;

use super::COLUMNS;
use crate::each_tenant::{FanOut, Tenants, each};
use crate::session::Session;
use operations::context::TenantContext;
use operations::failure::Failure;

/// How many jobs are read at once.
const PAGE: i64 = 500;

pub(super) async fn run(tenants: Tenants, session: &Session) -> Result<(), Failure> {
    if let Some(slug) = tenants.one() {
        let at = session.context.enter(slug).await?;
        return session.output.list(&all(&at).await?, COLUMNS);
    }
    let mut fan_out = FanOut::begin(session).await?;
    let jobs = each(fan_out.ask("listing", async |at| all(at).await.map(Some)).await);
    fan_out.show(&jobs, COLUMNS).await
}

async fn all(at: &TenantContext) -> Result<Vec<Job>, Failure> {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let after = jobs.last().map(|job| job.name.clone()).unwrap_or_default();
        let page = operations::job::page(at, &after, PAGE).await?;
        let full = page.len() as i64 == PAGE;
        jobs.extend(page);
        if !full {
            return Ok(jobs);
        }
    }
}
