//! What concerns all tenants.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use shared::clock::Time;
use shared::id::{JobId, TenantId};
use shared::schedule::Spread;
use shared::store::{Audit, AuditFilter, ProducerRow, Worker};
use uuid::Uuid;

use operations::dead::Emptied;
use shared::queue::DeadMessage;

use super::budget::{Budget, Fits};
use super::extract::{Body, Page, Query, Reason, limit, times};
use crate::access::Visitor;
use crate::overview::{Overview, overview};
use crate::problem::{Problem, made};
use crate::{AppState, QueueDepth};
use operations::failure::Failure;
use operations::fleet;
use operations::schedule::{Due, Options, due, read, written};

pub(super) async fn now(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Json<Overview>, Problem> {
    let now = state.now().await?;
    let workers = state.workers(now).await?;
    Ok(Json(overview(&state.fleet, &workers, now.time(), |slug| visitor.may_see(slug))))
}

pub(super) async fn consumers(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Json<Vec<Worker>>, Problem> {
    visitor.must_see_all()?;
    Ok(Json(state.workers(state.now().await?).await?))
}

pub(super) async fn producers(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Json<Vec<ProducerRow>>, Problem> {
    visitor.must_see_all()?;
    Ok(Json(fleet::producers(&state.context.control).await?))
}

pub(super) async fn queues(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Json<Vec<QueueDepth>>, Problem> {
    visitor.must_see_all()?;
    let workers = state.workers(state.now().await?).await?;
    Ok(Json(state.queues(&workers).await))
}

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    tenant: Option<String>,
    target: Option<String>,
    before: Option<i64>,
    limit: Option<i64>,
}

pub(super) async fn audit(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<Audit>>, Problem> {
    match &query.tenant {
        Some(slug) => state.check_may_see(&visitor, slug)?,
        None => visitor.must_see_all()?,
    }
    let limit = limit(query.limit)?;
    let AuditQuery { tenant, target, before, .. } = query;
    let filter = AuditFilter { before, tenant, target };
    let (mut budget, mut filter) = (Budget::new(), filter);
    let is_over = loop {
        let batch = budget.next_batch(limit);
        let audits = state.context.control.list_audit(&filter, batch).await;
        let audits = audits.map_err(Failure::control)?;
        let is_full = audits.len() as i64 == batch;
        let fits = budget.add(audits);
        if fits == Fits::Partly || !is_full || budget.next_batch(limit) == 0 {
            break fits == Fits::All && !is_full;
        }
        filter.before = budget.items.last().map(|audit| audit.id);
    };
    let next = budget.items.last().filter(|_| !is_over).map(|audit| audit.id.to_string());
    Ok(Json(Page { items: budget.items, next }))
}

pub(super) async fn dead(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Result<Json<Vec<DeadMessage>>, Problem> {
    visitor.must_see_all()?;
    Ok(Json(operations::dead::list(&state.context, operations::dead::SHOWN_MAX).await?))
}

pub(super) async fn empty_dead(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Emptied>, Problem> {
    let actor = state.actor(&visitor, reason.as_deref())?;
    Ok(Json(made(operations::dead::empty(&state.context, &actor).await?)?))
}

#[derive(Deserialize)]
pub(super) struct PreviewQuery {
    expression: String,
    timezone: Option<String>,
    from: Option<Time>,
    n: Option<i64>,
}

/// When a schedule is due, and in words.
#[derive(Serialize)]
pub(super) struct Preview {
    pub(super) words: String,
    pub(super) times: Vec<Due>,
}

pub(super) async fn preview(
    State(state): State<Arc<AppState>>,
    Query(query): Query<PreviewQuery>,
) -> Result<Json<Preview>, Problem> {
    let n = times(query.n)?;
    let options = Options { timezone: query.timezone.as_deref(), ..Options::default() };
    let text = written(&query.expression, &options)?;
    // Which job it will be isn't known yet.
    let schedule = read(&text, Spread::new(TenantId(Uuid::nil()), JobId(0)))?;
    let from = match query.from {
        Some(from) => from,
        None => state.now().await?.time(),
    };
    let times = due(&schedule, schedule.first_after(from), n);
    Ok(Json(Preview { words: schedule.describe(), times }))
}
