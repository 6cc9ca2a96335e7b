//! `polychron job run`: a manual run, and waiting for its end.

use std::time::Duration;

use clap::Args;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;

use super::everywhere::{self, Question};
use crate::each_tenant::Jobs;
use crate::execution::{COLUMNS, FIELDS};
use crate::exit::Failure;
use crate::input;
use crate::operation;
use crate::operator::Entered;
use crate::output::{maybe, say};
use crate::session::{Session, mind_suspension};

/// How often an awaited run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    jobs: Jobs,
    /// Instead of the job's payload; `@FILE` reads a file, `-` standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Wait until the run is over, its retries included
    #[arg(long, conflicts_with = "all_tenants")]
    wait: bool,
    /// Do not ask, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Run, session: &Session) -> Result<(), Failure> {
    let Run { jobs, payload, wait, yes } = arguments;
    let (tenant, job) = jobs.named();
    let payload = payload.as_deref().map(input::payload).transpose()?;
    let Session { operator, asker, .. } = session;
    let Some(slug) = tenant else {
        let question = Question { doing: "Running", name: &job, yes };
        let run = async |at: &Entered| {
            let id = operation::job::run(operator, asker, at, &job, payload.as_ref()).await?;
            operation::execution::find(at, id).await
        };
        return everywhere::change(question, session, |_| true, run, COLUMNS).await;
    };
    let at = operator.enter(&slug).await?;
    let id = operation::job::run(operator, asker, &at, &job, payload.as_ref()).await?;
    mind_suspension(&at.tenant);
    report(id, wait, &at, session).await
}

/// Shows a run that was asked for; if wanted, only once it is over, and then says by the exit code
/// how it ended.
pub(crate) async fn report(
    id: ExecutionId,
    wait: bool,
    at: &Entered,
    session: &Session,
) -> Result<(), Failure> {
    let mut seen = None;
    loop {
        let last = at.store.find_last_attempt(id).await;
        let last = last.map_err(|error| {
            say(&format!("execution {id} goes on unwatched"));
            at.failed(error)
        })?;
        let Some(execution) = last else {
            return Err(Failure::Failed(format!(
                "execution {id} has gone; its history was pruned"
            )));
        };
        if !wait || execution.status.is_final() {
            session.output.record(&execution, FIELDS)?;
            return if wait { verdict(&execution) } else { Ok(()) };
        }
        if seen != Some((execution.attempt, execution.status)) {
            seen = Some((execution.attempt, execution.status));
            say(&format!("attempt {} is {}", execution.attempt, execution.status));
        }
        session.operator.connections.clock().sleep(LOOK_EVERY).await;
    }
}

fn verdict(execution: &Execution) -> Result<(), Failure> {
    match execution.status {
        Status::Success => Ok(()),
        ended => Err(Failure::Failed(format!(
            "the run ended as {ended} after attempt {}: {}",
            execution.attempt,
            maybe(execution.error_message.as_ref())
        ))),
    }
}
