//! The pages, a file for each. Everything works without JavaScript.

mod audit;
mod change;
mod consumers;
mod dead;
mod execution;
mod executions;
mod job;
mod jobs;
mod notify;
mod now;
mod schedule;
mod sign_in;
mod tenant;
mod tenants;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::AppState;
use crate::html_error::HtmlError;

/// How many items a page of a list shows.
const LINES: i64 = 50;

/// Which job of a tenant a page is about.
#[derive(Deserialize)]
struct JobQuery {
    name: String,
}

type Answer = Result<Response, HtmlError>;

#[rustfmt::skip]
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/", get(now::show))
        .route("/login", get(sign_in::show).post(sign_in::enter))
        .route("/logout", post(sign_in::leave))
        .route("/consumers", get(consumers::show))
        .route("/dead", get(dead::show))
        .route("/dead/empty", post(dead::empty))
        .route("/audit", get(audit::show))
        .route("/tenants", get(tenants::show))
        .route("/tenants/{tenant}", get(tenant::show))
        .route("/tenants/{tenant}/suspend", post(change::suspend_tenant))
        .route("/tenants/{tenant}/resume", post(change::resume_tenant))
        .route("/tenants/{tenant}/notify", get(notify::show_tenant).post(notify::edit_tenant))
        .route("/tenants/{tenant}/jobs", get(jobs::show))
        .route("/tenants/{tenant}/job", get(job::show))
        .route("/tenants/{tenant}/job/why", get(why::show))
        .route("/tenants/{tenant}/job/run", post(change::run_job))
        .route("/tenants/{tenant}/job/pause", post(change::pause_job))
        .route("/tenants/{tenant}/job/resume", post(change::resume_job))
        .route("/tenants/{tenant}/job/delete", post(change::delete_job))
        .route("/tenants/{tenant}/job/schedule", get(schedule::show).post(change::edit_schedule))
        .route("/tenants/{tenant}/job/notify", get(notify::show_job).post(notify::edit_job))
        .route("/tenants/{tenant}/executions", get(executions::show))
        .route("/tenants/{tenant}/executions/{id}", get(execution::show))
        .route("/tenants/{tenant}/executions/{id}/cancel", post(change::cancel_execution))
        .route("/tenants/{tenant}/executions/{id}/retry", post(change::retry_execution))
}
