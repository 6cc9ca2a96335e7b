//! `polychron job pause` and `polychron job resume`.

use clap::Args;

use super::everywhere::{self, Question};
use super::{COLUMNS, FIELDS};
use crate::each_tenant::Jobs;
use crate::output::say;
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::find;

#[derive(Args)]
pub struct Switch {
    #[command(flatten)]
    jobs: Jobs,
    /// Do not ask for confirmation, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Switch, on: bool, session: &Session) -> Result<(), Failure> {
    let Session { context, actor, output } = session;
    let (tenant, name) = arguments.jobs.named();
    let Some(slug) = tenant else {
        let doing = if on { "Resuming" } else { "Pausing" };
        let question = Question { doing, name: &name, yes: arguments.yes };
        let switch =
            async |at: &TenantContext| match operations::job::switch(context, actor, at, &name, on)
                .await?
            {
                Some(change) => Ok(change),
                None => find(at, &name).await.map(Change::Made),
            };
        return everywhere::change(question, session, |job| job.is_enabled != on, switch, COLUMNS)
            .await;
    };
    let at = context.enter(&slug).await?;
    match operations::job::switch(context, actor, &at, &name, on).await? {
        Some(change) => session.show_change(change, FIELDS),
        None => {
            say(&format!("job {name} is {} already", if on { "enabled" } else { "paused" }));
            output.record(&find(&at, &name).await?, FIELDS)
        }
    }
}
