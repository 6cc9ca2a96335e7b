//! Adds a tenant, in an order that can be interrupted anywhere and repeated.
//!
//! The database is migrated and its owner checked *before* the tenant is listed, so that a rejected
//! database leaves no trace. Then the tenant is listed, and only then is it made the database's owner.
//! A listed tenant whose database has no owner is harmless: nothing runs, `check` says why, and the
//! tenant is found again by its slug. A database whose owner is not listed would have to be adopted by
//! force.

use shared::database_url::DatabaseUrl;
use shared::id::TenantId;
use shared::store::{Guarded, Migration, StoreError, Views};
use shared::tenant::{Tenant, TenantStatus};

use super::{facts, refuse_schema_of_file};
use crate::change::{Actor, Change};
use crate::context::Context;
use crate::failure::Failure;

/// A tenant to be added.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Its unique name in commands; see [`slug`](crate::input::slug).
    pub slug: String,
    /// Its full name; none: the slug.
    pub name: Option<String>,
    /// Where its database is.
    pub database_url: DatabaseUrl,
    /// The PostgreSQL schema for its tables, created if it is missing; none: the one in which its
    /// role creates tables.
    pub schema: Option<String>,
    /// The most of its executions at once; none: no limit.
    pub max_running: Option<i32>,
    /// Whether the read-only views are made.
    pub views: Views,
    /// What to do with a database that belongs to another tenant.
    pub owned: Owned,
    /// Whether its jobs run from now on, or once it is resumed.
    pub status: TenantStatus,
}

/// What to do with a database that belongs to another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    /// Reject it: the URL is wrong, or the database is a copy.
    Reject,
    /// Make the new tenant its owner.
    Adopt,
}

/// A tenant that was added.
#[derive(Clone, Debug)]
pub struct Added {
    /// The tenant as it is listed.
    pub tenant: Tenant,
    /// Whether an earlier call had listed it already, which this one completed.
    pub was_listed: bool,
}

/// Migrates a tenant's database, lists the tenant and makes it the database's owner. If a tenant of
/// this slug is listed with the same database, completes what an interrupted call has left.
pub async fn add(
    context: &Context,
    actor: &Actor,
    new: NewTenant,
) -> Result<Change<Added>, Failure> {
    refuse_schema_of_file(&new.database_url, new.schema.as_deref())?;
    let listed = context.control.find_tenant(&new.slug).await.map_err(Failure::control)?;
    let was_listed = listed.is_some();
    let mut tenant = match listed {
        Some(tenant) => known(tenant, &new)?,
        None => fresh(context, &new).await?,
    };
    let within = prepare(context, actor, &tenant, &new).await?;
    if !was_listed {
        // The role's default may change; where the tables are does not.
        tenant.schema = within;
    }
    let planned = actor.plan("tenant.add", &tenant, None, None).towards(facts(&tenant));
    let adding = async {
        if !was_listed {
            context.control.insert_tenant(&tenant).await.map_err(Failure::control)?;
        }
        own(context, &tenant, new.owned).await?;
        Ok(((), facts(&tenant)))
    };
    let change = context.record_and_wake(planned, adding).await?;
    Ok(change.map(|()| Added { tenant, was_listed }))
}

/// The listed tenant, if it is the one to be added.
fn known(listed: Tenant, new: &NewTenant) -> Result<Tenant, Failure> {
    if new.status == TenantStatus::Suspended && listed.status != new.status {
        return Err(Failure::Failed(format!(
            "tenant {0} is listed already, and its jobs run: suspend it by `polychron tenant suspend {0}`",
            listed.slug
        )));
    }
    let same_schema = new.schema.is_none() || new.schema == listed.schema;
    if listed.database_url == new.database_url && same_schema {
        return Ok(listed);
    }
    Err(Failure::Failed(format!(
        "SLUG: `{}` is taken by a tenant at {}; choose another, or change its URL or schema by \
         `polychron tenant edit {0} --database-url-file FILE --schema NAME`",
        listed.slug, listed.database_url
    )))
}

async fn fresh(context: &Context, new: &NewTenant) -> Result<Tenant, Failure> {
    let now = context.control.now().await.map_err(Failure::control)?;
    Ok(Tenant {
        id: TenantId::new(now.time(), &context.random),
        slug: new.slug.clone(),
        name: new.name.clone().unwrap_or_else(|| new.slug.clone()),
        status: new.status,
        database_url: new.database_url.clone(),
        schema: new.schema.clone(),
        max_running: new.max_running,
        created_at: now.time(),
        updated_at: now.time(),
    })
}

/// Migrates the tenant's database, unless it belongs to another tenant. Returns the PostgreSQL schema
/// that holds its tables.
async fn prepare(
    context: &Context,
    actor: &Actor,
    tenant: &Tenant,
    new: &NewTenant,
) -> Result<Option<String>, Failure> {
    let of_tenant = |error| Failure::tenant(tenant, error);
    let migration = Migration::of(tenant, new.views);
    let found = migration.preview().await.map_err(of_tenant)?;
    // A migration may break the programs of another installation, so check the owner first. A
    // database without our tables has none.
    if found.from > 0 {
        let owner = context.store(tenant)?.owner().await.map_err(of_tenant)?;
        let is_other = |owner: &TenantId| *owner != tenant.id && new.owned == Owned::Reject;
        if let Some(owner) = owner.filter(is_other) {
            return Err(of_tenant(StoreError::Owned(owner)));
        }
    }
    if actor.is_dry_run() {
        return Ok(found.within);
    }
    Ok(migration.run().await.map_err(of_tenant)?.within)
}

/// Makes the tenant the owner of its database.
async fn own(context: &Context, tenant: &Tenant, owned: Owned) -> Result<(), Failure> {
    let store = context.store(tenant)?;
    let done = match owned {
        Owned::Adopt => store.replace_owner().await.map(|()| Guarded::Applied),
        Owned::Reject => store.set_owner().await,
    };
    match done.map_err(|error| Failure::tenant(tenant, error))? {
        Guarded::Applied => Ok(()),
        // Another process gave it to another tenant since its owner was checked.
        Guarded::NoMatch => Err(Failure::Failed(format!(
            "tenant {}: its database was just given to another tenant; see `polychron check`",
            tenant.slug
        ))),
    }
}
