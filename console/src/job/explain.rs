//! `polychron job explain`.

use clap::Args;
use shared::clock::Time;

use super::everywhere;
use crate::each_tenant::{Jobs, each};
use crate::exit::Failure;
use crate::finding::{COLUMNS, Finding};
use crate::operation::account::account_for;
use crate::operation::explain::explain;
use crate::operator::Entered;
use crate::session::Session;

#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    jobs: Jobs,
    /// One of its planned times, such as 2026-12-01T09:00:00Z: what became of it
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    at: Option<Time>,
}

pub(super) async fn run(arguments: Explain, session: &Session) -> Result<(), Failure> {
    let Explain { jobs, at: asked } = arguments;
    let (tenant, job) = jobs.named();
    let find = async |at: &Entered| -> Result<Vec<Finding>, Failure> {
        match asked {
            Some(asked) => account_for(&session.operator, at, &job, asked).await,
            None => explain(&session.operator, at, &job).await,
        }
    };
    let Some(slug) = tenant else {
        let (mut round, _) = everywhere::find(&job, session).await?;
        let explain = async |at: &Entered| find(at).await.map(Some);
        let findings = each(round.ask("explaining", explain).await);
        return round.show(&findings, COLUMNS).await;
    };
    let at = session.operator.enter(&slug).await?;
    session.output.list(&find(&at).await?, COLUMNS)
}
