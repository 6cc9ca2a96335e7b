//! The changes behind the buttons. Each redirects to the page that shows the result.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use shared::store::{JobEdit, TenantEdit};
use shared::tenant::TenantStatus;

use super::execution::id;
use super::{Answer, JobQuery, schedule};
use crate::AppState;
use crate::form::Filled;
use crate::page::{of_job, of_tenant};
use crate::problem::made;
use operations::failure::Failure;
use operations::job::Switch;

pub(super) async fn run_job(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let new = made(operations::execution::run(&state.context, &actor, &at, &name, None).await?)?;
    let address = of_tenant(&slug, &format!("/executions/{}", new.id));
    Ok(Redirect::to(&address).into_response())
}

pub(super) async fn pause_job(
    state: State<Arc<AppState>>,
    slug: Path<String>,
    query: Query<JobQuery>,
    form: Filled,
) -> Answer {
    switch_job(state, slug, query, form, Switch::Pause).await
}

pub(super) async fn resume_job(
    state: State<Arc<AppState>>,
    slug: Path<String>,
    query: Query<JobQuery>,
    form: Filled,
) -> Answer {
    switch_job(state, slug, query, form, Switch::Resume).await
}

async fn switch_job(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    form: Filled,
    to: Switch,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    if let Some(change) = operations::job::switch(&state.context, &actor, &at, &name, to).await? {
        made(change)?;
    }
    Ok(Redirect::to(&of_job(&slug, &name, "")).into_response())
}

pub(super) async fn delete_job(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let job = operations::job::find(&at, &name).await?;
    if form.get("confirmed_name") != Some(name.trim()) {
        let text = format!("nothing was deleted: to delete the job, write its name, {name}");
        return Err(Failure::Usage(text).into());
    }
    made(operations::job::delete(&state.context, &actor, &at, &job).await?)?;
    Ok(Redirect::to(&of_tenant(&slug, "/jobs")).into_response())
}

pub(super) async fn edit_schedule(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let job = operations::job::find(&at, &name).await?;
    let text = form.get("schedule").unwrap_or_default();
    let field = |name| form.get(name).unwrap_or_default();
    let patch = schedule::read_patch(text, field("timezone"), field("except"), &job)?;
    let (context, edit) = (&state.context, JobEdit::default());
    let version = Some(form.version()?);
    let edited =
        operations::job::patch(context, &actor, &at, &name, version, &edit, Some(&patch)).await?;
    made(edited)?;
    Ok(Redirect::to(&of_job(&slug, &name, "")).into_response())
}

pub(super) async fn suspend_tenant(
    state: State<Arc<AppState>>,
    slug: Path<String>,
    form: Filled,
) -> Answer {
    switch_tenant(state, slug, form, TenantStatus::Suspended).await
}

pub(super) async fn resume_tenant(
    state: State<Arc<AppState>>,
    slug: Path<String>,
    form: Filled,
) -> Answer {
    switch_tenant(state, slug, form, TenantStatus::Active).await
}

async fn switch_tenant(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    form: Filled,
    status: TenantStatus,
) -> Answer {
    state.check_may_see(&form.visitor, &slug)?;
    let actor = state.actor(&form.visitor, form.get("reason"))?;
    let tenant = state.context.tenant(&slug).await?;
    if tenant.status != status {
        let edit = TenantEdit { status: Some(status), ..TenantEdit::default() };
        made(operations::tenant::edit(&state.context, &actor, &tenant, &edit).await?)?;
    }
    Ok(Redirect::to(&of_tenant(&slug, "")).into_response())
}

pub(super) async fn cancel_execution(
    State(state): State<Arc<AppState>>,
    Path((slug, text)): Path<(String, String)>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let id = id(&text)?;
    made(operations::execution::cancel(&state.context, &actor, &at, id).await?)?;
    Ok(Redirect::to(&of_tenant(&slug, &format!("/executions/{id}"))).into_response())
}

pub(super) async fn retry_execution(
    State(state): State<Arc<AppState>>,
    Path((slug, text)): Path<(String, String)>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let new = made(operations::execution::retry(&state.context, &actor, &at, id(&text)?).await?)?;
    Ok(Redirect::to(&of_tenant(&slug, &format!("/executions/{}", new.id))).into_response())
}
