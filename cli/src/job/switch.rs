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
use operations::job::{Switch, find};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    jobs: Jobs,
    /// Do not ask for confirmation, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    to: Switch,
    session: &Session,
) -> Result<(), Failure> {
    let Session { context, actor, output } = session;
    let (tenant, name) = arguments.jobs.named();
    let Some(slug) = tenant else {
        let doing = match to {
            Switch::Resume => "Resuming",
            Switch::Pause => "Pausing",
        };
        let question = Question { doing, name: &name, yes: arguments.yes };
        let switch =
            async |at: &TenantContext| match operations::job::switch(context, actor, at, &name, to)
                .await?
            {
                Some(change) => Ok(change),
                None => find(at, &name).await.map(Change::Made),
            };
        return everywhere::change(
            question,
            session,
            |job| job.is_enabled != to.enables(),
            switch,
            COLUMNS,
        )
        .await;
    };
    let at = context.enter(&slug).await?;
    match operations::job::switch(context, actor, &at, &name, to).await? {
        Some(change) => session.show_change(change, FIELDS),
        None => {
            let state = if to.enables() { "enabled" } else { "paused" };
            say(&format!("job {name} is {state} already"));
            output.record(&find(&at, &name).await?, FIELDS)
        }
    }
}
