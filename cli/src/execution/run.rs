//! A manual run, from its request to its end.

use std::time::Duration;

use shared::execution::{Execution, Status};

use super::FIELDS;
use crate::output::{maybe, say};
use crate::session::{Session, mention_suspension};
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;

/// How often the row of a run is read while its end is awaited.
const READ_EVERY: Duration = Duration::from_millis(200);

/// Shows a manual run. With `wait`, shows it only once it is over, and fails unless it succeeded.
pub(crate) async fn report(
    change: Change<Execution>,
    wait: bool,
    at: &TenantContext,
    session: &Session,
) -> Result<(), Failure> {
    let id = match change {
        Change::Made(execution) => execution.id,
        Change::WouldMake(dry_run) => return session.show_dry_run(&dry_run),
    };
    mention_suspension(&at.tenant);
    let mut seen = None;
    loop {
        let last = at.store.find_last_attempt(id).await;
        let last = last.map_err(|error| {
            say(&format!("execution {id} continues, but its end is not awaited"));
            at.failed(error)
        })?;
        let Some(execution) = last else {
            return Err(Failure::Failed(format!("execution {id} no longer exists: it was pruned")));
        };
        if !wait || execution.status.is_final() {
            session.output.record(&execution, FIELDS)?;
            return if wait { verdict(&execution) } else { Ok(()) };
        }
        if seen != Some((execution.attempt, execution.status)) {
            seen = Some((execution.attempt, execution.status));
            say(&format!("attempt {} is {}", execution.attempt, execution.status));
        }
        session.context.connections.clock().sleep(READ_EVERY).await;
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
