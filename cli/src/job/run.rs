//! `polychron job run`.

use clap::Args;

use super::everywhere::{self, Question};
use crate::each_tenant::Jobs;
use crate::execution::{COLUMNS, report};
use crate::input;
use crate::session::Session;
use operations::context::TenantContext;
use operations::failure::Failure;

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    jobs: Jobs,
    /// Replaces the job's payload; `@FILE` reads a file, `-` standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Wait until the run has ended, including its retries
    #[arg(long, conflicts_with = "all_tenants")]
    wait: bool,
    /// Do not ask for confirmation, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Run, session: &Session) -> Result<(), Failure> {
    let Run { jobs, payload, wait, yes } = arguments;
    let (tenant, job) = jobs.named();
    let payload = payload.as_deref().map(input::payload).transpose()?;
    let Session { context, actor, .. } = session;
    let Some(slug) = tenant else {
        let question = Question { doing: "Running", name: &job, yes };
        let run = async |at: &TenantContext| {
            operations::execution::run(context, actor, at, &job, payload.as_ref()).await
        };
        return everywhere::change(question, session, |_| true, run, COLUMNS).await;
    };
    let at = context.enter(&slug).await?;
    let change = operations::execution::run(context, actor, &at, &job, payload.as_ref()).await?;
    report(change, wait, &at, session).await
}
