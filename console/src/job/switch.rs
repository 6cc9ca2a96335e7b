//! `polychron job pause` and `polychron job resume`.

use clap::Args;

use super::everywhere::{self, Question};
use super::{COLUMNS, FIELDS};
use crate::each_tenant::Jobs;
use crate::exit::Failure;
use crate::operation;
use crate::operation::job::find;
use crate::operator::Entered;
use crate::output::say;
use crate::session::Session;

#[derive(Args)]
pub(crate) struct Switch {
    #[command(flatten)]
    jobs: Jobs,
    /// Do not ask, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Switch, on: bool, session: &Session) -> Result<(), Failure> {
    let Session { operator, asker, output } = session;
    let (tenant, name) = arguments.jobs.named();
    let Some(slug) = tenant else {
        let doing = if on { "Resuming" } else { "Pausing" };
        let question = Question { doing, name: &name, yes: arguments.yes };
        let switch =
            async |at: &Entered| match operation::job::switch(operator, asker, at, &name, on)
                .await?
            {
                Some(job) => Ok(job),
                None => find(at, &name).await,
            };
        return everywhere::change(question, session, |job| job.is_enabled != on, switch, COLUMNS)
            .await;
    };
    let at = operator.enter(&slug).await?;
    match operation::job::switch(operator, asker, &at, &name, on).await? {
        Some(job) => output.record(&job, FIELDS),
        None => {
            say(&format!("job {name} is {} already", if on { "enabled" } else { "paused" }));
            output.record(&find(&at, &name).await?, FIELDS)
        }
    }
}
