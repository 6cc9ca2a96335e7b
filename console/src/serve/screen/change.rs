//! What the buttons do. Each answers with the page that shows what came of it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use shared::schedule::Spread;
use shared::store::{JobEdit, TenantEdit};
use shared::tenant::TenantStatus;

use super::super::Site;
use super::super::form::Filled;
use super::super::page::{of_job, of_tenant};
use super::execution::id;
use super::job::Named;
use super::{Answer, schedule};
use crate::exit::Failure;
use crate::operation;

pub(super) async fn run_job(
    State(site): State<Arc<Site>>,
    Path(slug): Path<String>,
    Query(Named { name }): Query<Named>,
    form: Filled,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let new = operation::job::run(&site.operator, &asker, &at, &name, None).await?;
    let address = of_tenant(&slug, &format!("/executions/{new}"));
    Ok(Redirect::to(&address).into_response())
}

pub(super) async fn pause_job(
    site: State<Arc<Site>>,
    slug: Path<String>,
    named: Query<Named>,
    form: Filled,
) -> Answer {
    switch_job(site, slug, named, form, false).await
}

pub(super) async fn resume_job(
    site: State<Arc<Site>>,
    slug: Path<String>,
    named: Query<Named>,
    form: Filled,
) -> Answer {
    switch_job(site, slug, named, form, true).await
}

async fn switch_job(
    State(site): State<Arc<Site>>,
    Path(slug): Path<String>,
    Query(Named { name }): Query<Named>,
    form: Filled,
    on: bool,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    operation::job::switch(&site.operator, &asker, &at, &name, on).await?;
    Ok(Redirect::to(&of_job(&slug, &name, "")).into_response())
}

pub(super) async fn delete_job(
    State(site): State<Arc<Site>>,
    Path(slug): Path<String>,
    Query(Named { name }): Query<Named>,
    form: Filled,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let job = operation::job::find(&at, &name).await?;
    if form.get("confirmed_name") != Some(name.trim()) {
        let text = format!("nothing was deleted: to delete the job, write its name, {name}");
        return Err(Failure::Usage(text).into());
    }
    operation::job::delete(&site.operator, &asker, &at, &job).await?;
    Ok(Redirect::to(&of_tenant(&slug, "/jobs")).into_response())
}

pub(super) async fn edit_schedule(
    State(site): State<Arc<Site>>,
    Path(slug): Path<String>,
    Query(Named { name }): Query<Named>,
    form: Filled,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let job = operation::job::find(&at, &name).await?;
    let spread = Spread::new(at.tenant.id, job.id);
    let text = form.get("schedule").unwrap_or_default();
    let (written, _) = schedule::understood(text, form.get("timezone"), spread)?;
    let version = form.get("version").and_then(|text| text.parse().ok());
    let version = version.ok_or_else(|| Failure::Usage("the form lacks the version".to_owned()))?;
    let edit = JobEdit { schedule: Some(written), ..JobEdit::default() };
    let operator = &site.operator;
    operation::job::edit(operator, &asker, &at, &name, Some(version), &edit).await?;
    Ok(Redirect::to(&of_job(&slug, &name, "")).into_response())
}

pub(super) async fn suspend_tenant(
    site: State<Arc<Site>>,
    slug: Path<String>,
    form: Filled,
) -> Answer {
    switch_tenant(site, slug, form, TenantStatus::Suspended).await
}

pub(super) async fn resume_tenant(
    site: State<Arc<Site>>,
    slug: Path<String>,
    form: Filled,
) -> Answer {
    switch_tenant(site, slug, form, TenantStatus::Active).await
}

async fn switch_tenant(
    State(site): State<Arc<Site>>,
    Path(slug): Path<String>,
    form: Filled,
    status: TenantStatus,
) -> Answer {
    site.tell_apart(&form.visitor, &slug)?;
    let asker = site.asker(&form.visitor, form.get("reason"))?;
    let tenant = site.operator.tenant(&slug).await?;
    if tenant.status != status {
        let edit = TenantEdit { status: Some(status), ..TenantEdit::default() };
        operation::tenant::edit(&site.operator, &asker, &tenant, &edit).await?;
    }
    Ok(Redirect::to(&of_tenant(&slug, "")).into_response())
}

pub(super) async fn cancel_execution(
    State(site): State<Arc<Site>>,
    Path((slug, text)): Path<(String, String)>,
    form: Filled,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let id = id(&text)?;
    operation::execution::cancel(&site.operator, &asker, &at, id).await?;
    Ok(Redirect::to(&of_tenant(&slug, &format!("/executions/{id}"))).into_response())
}

pub(super) async fn retry_execution(
    State(site): State<Arc<Site>>,
    Path((slug, text)): Path<(String, String)>,
    form: Filled,
) -> Answer {
    let (at, asker) = site.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let new = operation::execution::retry(&site.operator, &asker, &at, id(&text)?).await?;
    Ok(Redirect::to(&of_tenant(&slug, &format!("/executions/{new}"))).into_response())
}
