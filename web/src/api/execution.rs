//! A tenant's executions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::ExecutionFilter;

use super::budget::{Budget, Fits};
use super::extract::{Body, Page, Path, Query, Reason, limit};
use crate::AppState;
use crate::access::Visitor;
use crate::problem::{Problem, made};
use operations::execution;

type ExecutionPath = Path<(String, ExecutionId)>;

#[derive(Deserialize)]
pub(super) struct ExecutionsQuery {
    job: Option<String>,
    status: Option<Status>,
    before: Option<ExecutionId>,
    limit: Option<i64>,
}

pub(super) async fn list(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<ExecutionsQuery>,
) -> Result<Json<Page<Execution>>, Problem> {
    let limit = limit(query.limit)?;
    let at = state.enter(&visitor, &slug).await?;
    let ExecutionsQuery { job, status, before, .. } = query;
    let mut filter = ExecutionFilter { before, job, status };
    let mut budget = Budget::new();
    let next = loop {
        let batch = budget.next_batch(limit);
        let page = execution::page(&at, &filter, batch).await?;
        let is_full = page.executions.len() as i64 == batch;
        if budget.add(page.executions) == Fits::Partly {
            break budget.items.last().map(|last| last.id);
        }
        if !is_full || page.next.is_none() || budget.next_batch(limit) == 0 {
            break page.next;
        }
        filter.before = page.next;
    };
    Ok(Json(Page { items: budget.items, next: next.map(|next| next.to_string()) }))
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, id)): ExecutionPath,
) -> Result<Json<Execution>, Problem> {
    let at = state.enter(&visitor, &slug).await?;
    Ok(Json(execution::find(&at, id).await?))
}

pub(super) async fn cancel(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, id)): ExecutionPath,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Execution>, Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, reason.as_deref()).await?;
    Ok(Json(made(execution::cancel(&state.context, &actor, &at, id).await?)?))
}

pub(super) async fn retry(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, id)): ExecutionPath,
    Body(Reason { reason }): Body<Reason>,
) -> Result<(StatusCode, Json<Execution>), Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, reason.as_deref()).await?;
    let new = made(execution::retry(&state.context, &actor, &at, id).await?)?;
    Ok((StatusCode::CREATED, Json(new)))
}
