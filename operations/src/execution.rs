//! What can be done with executions.

use serde_json::{Value, json};
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::{ExecutionFilter, Guarded, Page};

use super::change::{Actor, Change};
use super::job;
use crate::context::{Context, TenantContext};
use crate::failure::Failure;

/// One page, the newest first.
pub async fn page(
    at: &TenantContext,
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
pub async fn find(at: &TenantContext, id: ExecutionId) -> Result<Execution, Failure> {
    let found = at.store.find_execution(id).await.map_err(|error| at.failed(error))?;
    let slug = &at.tenant.slug;
    found.ok_or_else(|| Failure::NotFound(format!("tenant {slug} has no execution {id}")))
}

/// Cancels an execution: at once, unless it runs. Then its worker ends it at the next heartbeat.
pub async fn cancel(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    id: ExecutionId,
) -> Result<Change<Execution>, Failure> {
    let before = find(at, id).await?;
    if before.status.is_final() {
        return Err(over(&before));
    }
    let facts = json!({"status": before.status});
    let planned = actor.plan("execution.cancel", &at.tenant, Some(id.to_string()), Some(facts));
    let planned = planned.towards(match before.status {
        Status::Running => json!({"status": Status::Running, "cancel_requested": true}),
        _ => json!({"status": Status::Cancelled}),
    });
    let cancel = async {
        let requested = at.store.cancel(id, at.now).await.map_err(|error| at.failed(error))?;
        let execution = find(at, id).await?;
        if requested.is_none() {
            return Err(over(&execution));
        }
        let facts = json!({"status": execution.status, "cancel_requested": true});
        Ok((execution, facts))
    };
    let change = context.record(planned, cancel).await?;
    // The worker learns of the request at its next heartbeat; producers need no wake.
    if let Change::Made(execution) = &change
        && execution.status != Status::Running
    {
        context.wake(at.tenant.id).await;
    }
    Ok(change)
}

fn over(execution: &Execution) -> Failure {
    let Execution { id, status, .. } = execution;
    Failure::Conflict(format!(
        "execution {id} is {status} already; an execution that has ended cannot be cancelled"
    ))
}

/// Requests a manual run of a job, with its own payload unless one is given.
pub async fn run(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    name: &str,
    payload: Option<&Value>,
) -> Result<Change<Execution>, Failure> {
    let job = job::find(at, name).await?;
    let id = ExecutionId::new(at.now.time(), &context.random);
    let planned = actor.plan("job.run", &at.tenant, Some(name.to_owned()), None);
    let planned = planned.towards(json!({"payload": payload.unwrap_or(&job.payload)}));
    let run = async {
        let requested = at.store.run_job(name, id, payload, at.now).await;
        match requested.map_err(|error| at.failed(error))? {
            Guarded::Applied => Ok((find(at, id).await?, json!({"execution": id}))),
            Guarded::NoMatch => {
                job::find(at, name).await?;
                Err(Failure::Conflict(format!(
                    "job {name} was changed at the same time; try again"
                )))
            }
        }
    };
    context.record_and_wake(planned, run).await
}

/// Requests a manual run of an execution that has ended, with the same payload.
pub async fn retry(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    id: ExecutionId,
) -> Result<Change<Execution>, Failure> {
    let before = find(at, id).await?;
    let new = ExecutionId::new(at.now.time(), &context.random);
    if !before.status.is_final() || before.job_name.is_none() {
        return Err(not_again(&before));
    }
    let planned = actor.plan("execution.retry", &at.tenant, Some(id.to_string()), None);
    let planned = planned.towards(json!({"job": before.job_name, "payload": before.payload}));
    let retry = async {
        match at.store.run_again(id, new, at.now).await.map_err(|error| at.failed(error))? {
            Guarded::Applied => {
                let facts = json!({"execution": new, "job": before.job_name});
                Ok((find(at, new).await?, facts))
            }
            Guarded::NoMatch => Err(not_again(&find(at, id).await?)),
        }
    };
    context.record_and_wake(planned, retry).await
}

fn not_again(execution: &Execution) -> Failure {
    let Execution { id, status, .. } = execution;
    Failure::Conflict(match execution.job_name {
        None => format!("the job of execution {id} was deleted; add it again first"),
        Some(_) => {
            format!("execution {id} is {status}; only an execution that has ended can be run again")
        }
    })
}

/// The name of the execution's job, even if that was deleted.
pub fn job_name(execution: &Execution) -> String {
    let deleted = || format!("(deleted job {})", execution.job_id);
    execution.job_name.clone().unwrap_or_else(deleted)
}

/// How far a handler has come, such as `3 of 10, invoices`.
pub fn progress(progress: &Value) -> String {
    let done = progress["done"].to_string();
    let total = progress["total"].as_u64().map(|total| format!(" of {total}"));
    let message = progress["message"].as_str().filter(|message| !message.is_empty());
    let message = message.map(|message| format!(", {message}"));
    format!("{done}{}{}", total.unwrap_or_default(), message.unwrap_or_default())
}
