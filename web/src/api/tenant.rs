//! Tenants. Only commands add and remove them, since that needs a URL with a password and creates
//! tables.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use shared::store::TenantEdit;
use shared::tenant::{Tenant, TenantStatus};

use super::extract::{Body, Page, Path, Query, given, limit, present};
use crate::AppState;
use crate::access::Visitor;
use crate::problem::{Problem, made};
use operations::failure::Failure;
use operations::tenant::{InspectedTenant, TenantView, inspect};

#[derive(Deserialize)]
pub(super) struct PageQuery {
    #[serde(default)]
    pub(super) after: String,
    pub(super) limit: Option<i64>,
}

pub(super) async fn list(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Query(PageQuery { after, limit: requested }): Query<PageQuery>,
) -> Result<Json<Page<TenantView>>, Problem> {
    let limit = limit(requested)?;
    let tenants: Vec<Tenant> = match &visitor.tenants {
        None => {
            state.context.control.page_tenants(&after, limit).await.map_err(Failure::control)?
        }
        Some(slugs) => {
            let mut tenants = Vec::new();
            for slug in slugs.iter().filter(|slug| **slug > after).take(limit as usize) {
                let found = state.context.control.find_tenant(slug).await;
                tenants.extend(found.map_err(Failure::control)?);
            }
            tenants
        }
    };
    let is_full = tenants.len() as i64 == limit;
    let next = tenants.last().filter(|_| is_full).map(|tenant| tenant.slug.clone());
    Ok(Json(Page { items: tenants.iter().map(TenantView::from).collect(), next }))
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
) -> Result<Json<InspectedTenant>, Problem> {
    state.check_may_see(&visitor, &slug)?;
    let tenant = state.context.tenant(&slug).await?;
    Ok(Json(inspect(&state.context, &tenant).await))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    status: Option<TenantStatus>,
    #[serde(default, deserialize_with = "present")]
    max_running: Option<Option<i32>>,
    #[serde(default, deserialize_with = "given")]
    reason: Option<String>,
}

pub(super) async fn edit(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Body(edit): Body<Edit>,
) -> Result<Json<InspectedTenant>, Problem> {
    state.check_may_see(&visitor, &slug)?;
    let Edit { name, status, max_running, reason } = edit;
    if name.is_none() && status.is_none() && max_running.is_none() {
        let text = "nothing to change: give name, status or max_running";
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    }
    let actor = state.actor(&visitor, reason.as_deref())?;
    let tenant = state.context.tenant(&slug).await?;
    let edit = TenantEdit { name, status, max_running, ..TenantEdit::default() };
    let tenant = made(operations::tenant::edit(&state.context, &actor, &tenant, &edit).await?)?;
    Ok(Json(inspect(&state.context, &tenant).await))
}
