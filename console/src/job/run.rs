//! `polychron job run`: a manual run, and waiting for its end.

use std::time::Duration;

use clap::Args;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::Store;
use shared::tenant::Tenant;

use super::find;
use crate::execution::FIELDS;
use crate::exit::Failure;
use crate::input;
use crate::output::{maybe, say};
use crate::session::{Session, mind_suspension};

/// How often an awaited run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Run {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
    /// Instead of the job's payload; `@FILE` reads a file, `-` standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Wait until the run is over, its retries included
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(arguments: Run, session: &Session) -> Result<(), Failure> {
    let Run { tenant, job, payload, wait } = arguments;
    let payload = payload.as_deref().map(input::payload).transpose()?;
    let (tenant, store, now) = session.enter(&tenant).await?;
    let of_tenant = |error| Failure::tenant(&tenant, error);
    let id = ExecutionId::new(now, &session.random);
    if !store.run_job(&job, id, payload.as_ref(), now).await.map_err(of_tenant)? {
        find(&tenant, &store, &job).await?;
        return Err(Failure::Failed(format!("job {job} was being changed; try again")));
    }
    session.wake(tenant.id).await;
    mind_suspension(&tenant);
    report(id, wait, &tenant, &store, session).await
}

/// Shows a run that was asked for; if wanted, only once it is over, and then says by the exit code
/// how it ended.
pub(crate) async fn report(
    id: ExecutionId,
    wait: bool,
    tenant: &Tenant,
    store: &Store,
    session: &Session,
) -> Result<(), Failure> {
    let mut seen = None;
    loop {
        let last = store.find_last_attempt(id).await;
        let last = last.map_err(|error| {
            say(&format!("execution {id} goes on unwatched"));
            Failure::tenant(tenant, error)
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
        session.connections.clock().sleep(LOOK_EVERY).await;
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
