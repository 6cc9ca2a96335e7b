//! What can be done with tenants.

mod add;
mod remove;

use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Time;
use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::job::Job;
use shared::notification::NOTIFIER;
use shared::store::{Guarded, JobEdit, PollSummary, TenantEdit};
use shared::tenant::{Tenant, TenantStatus};

use crate::change::{Actor, Change};
use crate::context::{Context, TenantContext};
use crate::failure::{Failure, reason};
use crate::job;

pub use add::{Added, NewTenant, Owned, add};
pub use remove::{Removal, Removed, Unreachable};

/// A tenant for showing: without the user and password of its database.
#[derive(Clone, Debug, Serialize)]
pub struct TenantView {
    /// Its id.
    pub id: TenantId,
    /// Its unique name in commands.
    pub slug: String,
    /// Its full name.
    pub name: String,
    /// Active or suspended.
    pub status: TenantStatus,
    /// Without user, password and parameters.
    pub database_url: String,
    /// The PostgreSQL schema that holds its tables; none: SQLite, or where its role's search path
    /// leads.
    pub schema: Option<String>,
    /// The most of its executions at once; none: no limit.
    pub max_running: Option<i32>,
    /// When it was added.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

impl From<&Tenant> for TenantView {
    fn from(tenant: &Tenant) -> TenantView {
        TenantView {
            id: tenant.id,
            slug: tenant.slug.clone(),
            name: tenant.name.clone(),
            status: tenant.status,
            database_url: tenant.database_url.to_string(),
            schema: tenant.schema.clone(),
            max_running: tenant.max_running,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

/// A tenant with the state of its database.
#[derive(Serialize)]
pub struct InspectedTenant {
    #[serde(flatten)]
    /// The tenant.
    pub tenant: TenantView,
    /// Why the database cannot be used, if it cannot.
    pub problem: Option<String>,
    /// Executions that wait for a consumer.
    pub dispatched: Option<i64>,
    /// Executions that run.
    pub running: Option<i64>,
    /// Executions that wait for their turn.
    pub waiting: Option<i64>,
    /// When its next job is due.
    pub next_due_at: Option<Time>,
}

/// Reads what is open in a tenant's database, or why that cannot be used.
pub async fn inspect(context: &Context, tenant: &Tenant) -> InspectedTenant {
    let (problem, summary) = match poll(context, tenant).await {
        Ok(summary) => (None, Some(summary)),
        Err(reason) => (Some(reason), None),
    };
    InspectedTenant {
        tenant: TenantView::from(tenant),
        problem,
        dispatched: summary.map(|summary| summary.dispatched),
        running: summary.map(|summary| summary.running),
        waiting: summary.map(|summary| summary.waiting),
        next_due_at: summary.and_then(|summary| summary.next_due_at),
    }
}

/// The poll summary of a tenant, or why its database cannot be read.
pub async fn poll(context: &Context, tenant: &Tenant) -> Result<PollSummary, String> {
    let store = context.store(tenant).map_err(|failure| failure.to_string())?;
    store.poll().await.map_err(|error| reason(&error))
}

/// Whether an edit would undo what an operator of all tenants may have set: a suspension, a limit, or
/// where the tenant's tables are.
fn loosens(tenant: &Tenant, edit: &TenantEdit) -> bool {
    let resumes = edit
        .status
        .is_some_and(|status| status != tenant.status && status != TenantStatus::Suspended);
    let raises = match (edit.max_running, tenant.max_running) {
        (None, _) | (Some(_), None) => false,
        (Some(None), Some(_)) => true,
        (Some(Some(new)), Some(old)) => new > old,
    };
    resumes || raises || edit.database_url.is_some() || edit.schema.is_some()
}

fn not_yours(slug: &str) -> Failure {
    Failure::Forbidden(format!(
        "your role is limited to some tenants: you may suspend {slug} and lower its max_running, \
         but only an operator of all tenants may resume it or raise its limit"
    ))
}

/// Edits a tenant, and returns it as it is then. An actor who is limited to tenants may suspend the
/// tenant and lower its limit, but undo neither.
pub async fn edit(
    context: &Context,
    actor: &Actor,
    tenant: &Tenant,
    edit: &TenantEdit,
) -> Result<Change<Tenant>, Failure> {
    let edit = &TenantEdit { only_tighten: actor.is_limited(), ..edit.clone() };
    if edit.only_tighten && loosens(tenant, edit) {
        return Err(not_yours(&tenant.slug));
    }
    let action = match edit.status {
        Some(TenantStatus::Suspended) => "tenant.suspend",
        Some(TenantStatus::Active) => "tenant.resume",
        None => "tenant.edit",
    };
    let edited = Tenant {
        name: edit.name.clone().unwrap_or_else(|| tenant.name.clone()),
        status: edit.status.unwrap_or(tenant.status),
        max_running: edit.max_running.unwrap_or(tenant.max_running),
        database_url: edit.database_url.clone().unwrap_or_else(|| tenant.database_url.clone()),
        schema: edit.schema.clone().or_else(|| tenant.schema.clone()),
        ..tenant.clone()
    };
    if edit.database_url.is_some() || edit.schema.is_some() {
        // A wrong URL or schema is detected before it is stored.
        refuse_schema_of_file(&edited.database_url, edit.schema.as_deref())?;
        let store = context.store(&edited)?;
        store.now().await.map_err(|error| Failure::tenant(&edited, error))?;
    }
    let planned = actor.plan(action, tenant, None, Some(facts(tenant)));
    let planned = planned.towards(facts(&edited));
    let change_it = async {
        let now = context.control.now().await.map_err(Failure::control)?;
        let edited = context.control.edit_tenant(tenant.id, edit, now).await;
        let edited = edited.map_err(Failure::control)?;
        // Somebody may have set another limit since it was read. If the tenant was removed, reading it
        // again fails.
        if edited == Guarded::NoMatch && edit.only_tighten {
            return Err(not_yours(&tenant.slug));
        }
        let tenant = context.tenant(&tenant.slug).await?;
        let facts = facts(&tenant);
        Ok((tenant, facts))
    };
    context.record_and_wake(planned, change_it).await
}

/// Sets whom to notify of a tenant's jobs that have no target of their own: the payload of the job
/// whose executions are the notifications, if its version is still `if_version`.
pub async fn notify(
    context: &Context,
    actor: &Actor,
    at: &TenantContext,
    if_version: Option<i32>,
    target: Value,
) -> Result<Change<Job>, Failure> {
    let failed = |error| at.failed(error);
    if actor.is_dry_run() {
        if at.store.find_job(NOTIFIER).await.map_err(failed)?.is_none() {
            let planned = actor.plan("job.edit", &at.tenant, Some(NOTIFIER.to_owned()), None);
            return Ok(Change::WouldMake(planned.towards(json!({"payload": target})).into()));
        }
    } else {
        at.store.insert_notifier().await.map_err(failed)?;
    }
    let edit = JobEdit { payload: Some(target), ..JobEdit::default() };
    job::edit(context, actor, at, NOTIFIER, if_version, &edit).await
}

/// Only PostgreSQL has schemas.
fn refuse_schema_of_file(url: &DatabaseUrl, schema: Option<&str>) -> Result<(), Failure> {
    match schema {
        Some(_) if url.is_sqlite() => {
            let text = "--schema: an SQLite database has no schemas; leave it out";
            Err(Failure::Usage(text.to_owned()))
        }
        _ => Ok(()),
    }
}

/// A tenant as the audit records it.
pub fn facts(tenant: &Tenant) -> Value {
    json!({
        "name": tenant.name,
        "status": tenant.status,
        "max_running": tenant.max_running,
        // Without user, password and parameters.
        "database": tenant.database_url.to_string(),
        "schema": tenant.schema,
    })
}
