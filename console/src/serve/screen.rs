//! The pages, each screen in a file of its own. Everything can be read, and done, without
//! JavaScript.

mod execution;
mod executions;
mod job;
mod jobs;
mod now;
mod tenant;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;

use super::Site;
use super::page::Trouble;

/// How many lines a page of a list has.
const LINES: i64 = 50;

type Answer = Result<Response, Trouble>;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/", get(now::show))
        .route("/tenants", get(tenants::show))
        .route("/tenants/{tenant}", get(tenant::show))
        .route("/tenants/{tenant}/jobs", get(jobs::show))
        .route("/tenants/{tenant}/job", get(job::show))
        .route("/tenants/{tenant}/executions", get(executions::show))
        .route("/tenants/{tenant}/executions/{id}", get(execution::show))
}
