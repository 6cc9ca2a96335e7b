//! The API: what the commands can do, in JSON over HTTP.
//!
//! The routes and the OpenAPI document (`/api/v1/openapi.json`) are both made from the table
//! [`OPERATIONS`], so that the document cannot lack one.

mod budget;
mod document;
mod execution;
mod extract;
mod fleet;
mod job;
mod schema;
mod tenant;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, patch, post};

use serde_json::Value;

use crate::AppState;
use schema::{integer, query_text, statuses, time, uuid};

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    /// The name of the request body's schema.
    body: Option<&'static str>,
    /// The name of the response's schema.
    answer: &'static str,
    route: fn() -> MethodRouter<Arc<AppState>>,
}

/// A parameter of the query.
struct Parameter {
    name: &'static str,
    schema: fn() -> Value,
    meaning: &'static str,
}

const fn parameter(name: &'static str, schema: fn() -> Value, meaning: &'static str) -> Parameter {
    Parameter { name, schema, meaning }
}

const LIMIT: Parameter = parameter("limit", count, "How many at most, 1 to 500; 50 by default");
const AFTER: Parameter =
    parameter("after", query_text, "Only later ones: the `next` of the previous page");
const OLDER: &str = "Only older ones: the `next` of the previous page";
const N: Parameter = parameter("n", count, "How many at most, 1 to 500; 10 by default");

fn count() -> Value {
    schema::between(1, extract::LIMIT_MAX)
}

const fn read(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    answer: &'static str,
    route: fn() -> MethodRouter<Arc<AppState>>,
) -> Operation {
    Operation { method: "get", path, id, summary, query, body: None, answer, route }
}

const fn change(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: &'static str,
    route: fn() -> MethodRouter<Arc<AppState>>,
) -> Operation {
    Operation { method, path, id, summary, query: &[], body: Some(body), answer, route }
}

const TENANT: &str = "/api/v1/tenants/{tenant}";
const JOBS: &str = "/api/v1/tenants/{tenant}/jobs";
const JOB: &str = "/api/v1/tenants/{tenant}/jobs/{job}";
const EXECUTION: &str = "/api/v1/tenants/{tenant}/executions/{execution}";

/// All operations.
#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    read("/api/v1/openapi.json", "openapi", "This document", &[], "Any", || get(document::show)),
    read("/api/v1/now", "now", "Whether everything is on time, and what needs attention", &[], "Overview", || get(fleet::now)),
    read("/api/v1/consumers", "listConsumers", "The live consumer processes", &[], "Consumers", || get(fleet::consumers)),
    read("/api/v1/producers", "listProducers", "The live producer processes, and how many tenants each watches", &[], "Producers", || get(fleet::producers)),
    read("/api/v1/queues", "listQueues", "The queues and how full they are", &[], "Queues", || get(fleet::queues)),
    read("/api/v1/dead", "listDead", "The oldest messages that no consumer could parse, at most 100", &[], "DeadMessages", || get(fleet::dead)),
    change("post", "/api/v1/dead/empty", "emptyDead", "Remove all of them, for good", "Reason", "Emptied", || post(fleet::empty_dead)),
    read("/api/v1/audit", "listAudit", "Who changed what, and why, the newest first",
         &[parameter("tenant", query_text, "Only changes to this tenant"), parameter("target", query_text, "Only changes to this job or execution"), parameter("before", integer, OLDER), LIMIT],
         "AuditPage", || get(fleet::audit)),
    read("/api/v1/schedule/preview", "previewSchedule", "When a schedule would be due",
         &[parameter("expression", query_text, "A cron expression, or a schedule as JSON"), parameter("timezone", query_text, "The zone that a cron expression is meant in; UTC by default"),
           parameter("from", time, "Only times after this one; now by default"), N],
         "Preview", || get(fleet::preview)),
    read("/api/v1/tenants", "listTenants", "The tenants, by slug", &[AFTER, LIMIT], "TenantPage", || get(tenant::list)),
    read(TENANT, "getTenant", "A tenant, and what its database says", &[], "InspectedTenant", || get(tenant::show)),
    change("patch", TENANT, "editTenant", "Change a tenant's name or limit, suspend or resume it", "TenantEdit", "InspectedTenant", || patch(tenant::edit)),
    read(JOBS, "listJobs", "A tenant's jobs, by name", &[AFTER, LIMIT], "JobPage", || get(job::list)),
    change("post", JOBS, "addJob", "Add a job", "NewJob", "Job", || post(job::add)),
    read(JOB, "getJob", "A job; its ETag is its version", &[], "Job", || get(job::show)),
    change("patch", JOB, "editJob", "Change the named fields of a job, and of its schedule (a JSON merge patch), if it is still at the version that If-Match names; `*` is any", "JobEdit", "EditedJob", || patch(job::edit)),
    change("delete", JOB, "deleteJob", "Delete a job and cancel its open executions; its history stays", "Reason", "Deleted", || delete(job::delete)),
    change("post", "/api/v1/tenants/{tenant}/jobs/{job}/pause", "pauseJob", "Pause a job: no new occurrences are dispatched", "Reason", "Job", || post(job::pause)),
    change("post", "/api/v1/tenants/{tenant}/jobs/{job}/resume", "resumeJob", "Resume a paused job, from now on", "Reason", "Job", || post(job::resume)),
    change("post", "/api/v1/tenants/{tenant}/jobs/{job}/run", "runJob", "Run a job now, whatever its schedule says", "Run", "Execution", || post(job::run)),
    read("/api/v1/tenants/{tenant}/jobs/{job}/next", "nextRuns", "When a job is due, with its own spread of `H` and jitter", &[N], "Preview", || get(job::next)),
    read("/api/v1/tenants/{tenant}/jobs/{job}/explain", "explainJob", "Why a job runs, waits or doesn't run, and what to do about it",
         &[parameter("at", time, "Say what became of this planned time")], "Findings", || get(job::explain)),
    read("/api/v1/tenants/{tenant}/executions", "listExecutions", "Executions, the newest first. A page may be short and yet have a next one",
         &[parameter("job", query_text, "Only those of this job"), parameter("status", statuses, "Only those of this status"), parameter("before", uuid, OLDER), LIMIT],
         "ExecutionPage", || get(execution::list)),
    read(EXECUTION, "getExecution", "An execution, with the full error chain, the result and the output", &[], "Execution", || get(execution::show)),
    change("post", "/api/v1/tenants/{tenant}/executions/{execution}/cancel", "cancelExecution", "Cancel an execution: at once, or by its worker's next heartbeat", "Reason", "Execution", || post(execution::cancel)),
    change("post", "/api/v1/tenants/{tenant}/executions/{execution}/retry", "retryExecution", "Run an execution that has ended again, with the same payload", "Reason", "Execution", || post(execution::retry)),
];

/// The routes of all operations.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    OPERATIONS
        .iter()
        .fold(Router::new(), |router, operation| router.route(operation.path, (operation.route)()))
}
