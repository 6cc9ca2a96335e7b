//! Removes a tenant from the list. Its database keeps the jobs and their history.

use serde_json::json;
use shared::tenant::Tenant;

use super::{facts, poll};
use crate::change::{Actor, Change};
use crate::context::Context;
use crate::failure::{Failure, reason};

/// What to do if the tenant's database cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Keep the tenant.
    Keep,
    /// Remove it all the same. Its database still belongs to it then, and another tenant has to adopt
    /// it.
    Forget,
}

/// A removal that was looked up and not made yet.
pub struct Removal {
    tenant: Tenant,
    /// How many executions are open, for people.
    open: String,
}

/// A tenant that was removed.
#[derive(Clone, Debug)]
pub struct Removed {
    /// As it was listed.
    pub tenant: Tenant,
    /// Why its database still belongs to it; none if it was released.
    pub still_owned: Option<String>,
}

impl Removal {
    /// Looks up what the removal of a tenant leaves behind.
    pub async fn of(context: &Context, slug: &str) -> Result<Removal, Failure> {
        let tenant = context.tenant(slug).await?;
        let open = match poll(context, &tenant).await {
            Ok(open) => (open.dispatched + open.running + open.waiting).to_string(),
            Err(_) => "unknown how many".to_owned(),
        };
        Ok(Removal { tenant, open })
    }

    /// What stays behind, in words.
    pub fn describe(&self) -> String {
        format!(
            "its jobs, their history and its open executions ({}) stay in {}, where nothing runs them \
             any more",
            self.open, self.tenant.database_url
        )
    }

    /// Releases the database, then removes the tenant from the list: in this order, an interrupted
    /// removal can be repeated.
    pub async fn make(
        self,
        context: &Context,
        actor: &Actor,
        unreachable: Unreachable,
    ) -> Result<Change<Removed>, Failure> {
        let Removal { tenant, open } = self;
        let planned = actor.plan("tenant.remove", &tenant, None, Some(facts(&tenant)));
        let planned = planned.towards(json!({"removed": true, "open_executions": open}));
        let remove = async {
            let still_owned = release(context, &tenant, unreachable).await?;
            // If it is not listed any more, another removal was quicker.
            let _ = context.control.delete_tenant(tenant.id).await.map_err(Failure::control)?;
            let released = json!({"released": still_owned.is_none()});
            Ok((still_owned, released))
        };
        let change = context.record_and_wake(planned, remove).await?;
        Ok(change.map(|still_owned| Removed { tenant, still_owned }))
    }
}

/// Releases a tenant's database, or says why it still belongs to the tenant.
async fn release(
    context: &Context,
    tenant: &Tenant,
    unreachable: Unreachable,
) -> Result<Option<String>, Failure> {
    match (context.store(tenant)?.remove_owner().await, unreachable) {
        (Ok(_), _) => Ok(None),
        (Err(error), Unreachable::Forget) => Ok(Some(reason(&error))),
        (Err(error), Unreachable::Keep) => Err(Failure::tenant(tenant, error)),
    }
}
