//! What can be done with executions.

use serde_json::json;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::{ExecutionFilter, Page};

use super::job;
use crate::exit::Failure;
use crate::operator::{Asker, Entered, Operator};

/// One page, the newest first.
pub(crate) async fn page(
    at: &Entered,
    filter: &ExecutionFilter,
    limit: i64,
) -> Result<Page, Failure> {
    if let Some(name) = &filter.job {
        // A misspelt name would otherwise look like a job that never ran.
        job::find(at, name).await?;
    }
    at.store.page_executions(filter, limit).await.map_err(|error| at.failed(error))
}

/// One execution.
pub(crate) async fn find(at: &Entered, id: ExecutionId) -> Result<Execution, Failure> {
    let found = at.store.find_execution(id).await.map_err(|error| at.failed(error))?;
    let slug = &at.tenant.slug;
    found.ok_or_else(|| Failure::NotFound(format!("tenant {slug} has no execution {id}")))
}

/// Asks for an execution's end: it is over at once, unless it runs.
pub(crate) async fn cancel(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    id: ExecutionId,
) -> Result<Execution, Failure> {
    let before = find(at, id).await?;
    if before.status.is_final() {
        return Err(over(&before));
    }
    let facts = json!({"status": before.status});
    let change = asker.change("execution.cancel", &at.tenant, Some(id.to_string()), Some(facts));
    let change = change.towards(match before.status {
        Status::Running => json!({"status": Status::Running, "cancel_requested": true}),
        _ => json!({"status": Status::Cancelled}),
    });
    let cancel = async {
        let asked = at.store.cancel(id, at.now).await.map_err(|error| at.failed(error))?;
        let execution = find(at, id).await?;
        if asked.is_none() {
            return Err(over(&execution));
        }
        let facts = json!({"status": execution.status, "cancel_requested": true});
        Ok((execution, facts))
    };
    let execution = operator.record(change, cancel).await?;
    if execution.status != Status::Running {
        operator.wake(at.tenant.id).await;
    }
    Ok(execution)
}

fn over(execution: &Execution) -> Failure {
    let Execution { id, status, .. } = execution;
    Failure::Conflict(format!(
        "execution {id} is {status} already; what is over cannot be cancelled"
    ))
}

/// Asks for a manual run of what is over, with the same payload.
pub(crate) async fn retry(
    operator: &Operator,
    asker: &Asker,
    at: &Entered,
    id: ExecutionId,
) -> Result<ExecutionId, Failure> {
    let before = find(at, id).await?;
    let new = ExecutionId::new(at.now, &operator.random);
    if !before.status.is_final() || before.job_name.is_none() {
        return Err(not_again(&before));
    }
    let change = asker.change("execution.retry", &at.tenant, Some(id.to_string()), None);
    let change = change.towards(json!({"job": before.job_name, "payload": before.payload}));
    let retry = async {
        match at.store.run_again(id, new, at.now).await.map_err(|error| at.failed(error))? {
            true => Ok((new, json!({"execution": new, "job": before.job_name}))),
            false => Err(not_again(&find(at, id).await?)),
        }
    };
    operator.record(change, retry).await?;
    operator.wake(at.tenant.id).await;
    Ok(new)
}

fn not_again(execution: &Execution) -> Failure {
    let Execution { id, status, .. } = execution;
    Failure::Conflict(match execution.job_name {
        None => format!("the job of execution {id} was deleted; add it again first"),
        Some(_) => format!("execution {id} is {status}; only what is over can be run again"),
    })
}
