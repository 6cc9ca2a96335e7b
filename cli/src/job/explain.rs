//! `polychron job explain`.

use clap::Args;
use shared::clock::Time;

use super::everywhere;
use crate::each_tenant::{Jobs, each};
use crate::findings::COLUMNS;
use crate::session::Session;
use operations::context::TenantContext;
use operations::explain::explain;
use operations::failure::Failure;
use operations::finding::Finding;
use operations::occurrence_report::report;

#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    jobs: Jobs,
    /// What became of this planned time, such as 2026-12-01T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    at: Option<Time>,
}

pub(super) async fn run(arguments: Explain, session: &Session) -> Result<(), Failure> {
    let Explain { jobs, at: planned_time } = arguments;
    let (tenant, job) = jobs.named();
    let find = async |at: &TenantContext| -> Result<Vec<Finding>, Failure> {
        match planned_time {
            Some(time) => report(&session.context, at, &job, time).await,
            None => explain(&session.context, at, &job).await,
        }
    };
    let Some(slug) = tenant else {
        let (mut fan_out, _) = everywhere::find(&job, session).await?;
        let explain = async |at: &TenantContext| find(at).await.map(Some);
        let findings = each(fan_out.ask("explaining", explain).await);
        return fan_out.show(&findings, COLUMNS).await;
    };
    let at = session.context.enter(&slug).await?;
    session.output.list(&find(&at).await?, COLUMNS)
}
