//! `polychron job explain`.

use clap::Args;
use shared::clock::Time;

use crate::exit::Failure;
use crate::finding::COLUMNS;
use crate::operation::account::account_for;
use crate::operation::explain::explain;
use crate::session::Session;

#[derive(Args)]
pub(crate) struct Explain {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
    /// One of its planned times, such as 2026-12-01T09:00:00Z: what became of it
    #[arg(long, value_name = "TIME", value_parser = crate::input::time)]
    at: Option<Time>,
}

pub(super) async fn run(arguments: Explain, session: &Session) -> Result<(), Failure> {
    let Explain { tenant, job, at: asked } = arguments;
    let at = session.operator.enter(&tenant).await?;
    let findings = match asked {
        Some(asked) => account_for(&at, &job, asked).await?,
        None => explain(&session.operator, &at, &job).await?,
    };
    session.output.list(&findings, COLUMNS)
}
