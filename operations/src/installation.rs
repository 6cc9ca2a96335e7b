//! Says what a control database is that does not lie where it did: the only one, or a copy.

use serde::Serialize;
use serde_json::json;
use shared::store::{StoreError, TenantEdit};
use shared::tenant::TenantStatus;

use crate::change::{Actor, Change};
use crate::context::Context;
use crate::failure::Failure;

/// What a database that was not where it had been is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The only one: it was moved, and the other one is gone.
    Moved,
    /// A copy, whose tenants are the original's: they are suspended.
    New,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// Where it lies.
    pub place: String,
    /// The tenants that were suspended.
    pub suspended: Vec<String>,
}

/// Settles the control database where it is. From then on, producers and consumers start.
///
/// # Errors
/// If it is where it was, or the actor is limited to some tenants.
pub async fn settle(
    context: &Context,
    actor: &Actor,
    kind: Kind,
) -> Result<Change<Settled>, Failure> {
    if actor.is_limited() {
        let text = "your role is limited to some tenants, and the control database belongs to all";
        return Err(Failure::Forbidden(text.to_owned()));
    }
    let place = match context.control.check_place().await {
        Err(StoreError::Elsewhere { now, .. }) => now.to_string(),
        Err(error) => return Err(Failure::control(error)),
        Ok(()) => {
            let text = "the control database is where it was: there is nothing to settle";
            return Err(Failure::Conflict(text.to_owned()));
        }
    };
    let (action, mut suspended) = match kind {
        Kind::Moved => ("installation.moved", Vec::new()),
        Kind::New => {
            ("installation.new", context.control.list_tenants().await.map_err(Failure::control)?)
        }
    };
    suspended.retain(|tenant| tenant.status == TenantStatus::Active);
    let slugs: Vec<String> = suspended.iter().map(|tenant| tenant.slug.clone()).collect();
    let after = json!({"place": place, "suspended": slugs});
    let planned = actor.plan_for_all(action).towards(after.clone());
    let settling = async {
        // The tenants first: nothing may run if this is interrupted.
        let edit = TenantEdit { status: Some(TenantStatus::Suspended), ..TenantEdit::default() };
        for tenant in &suspended {
            let now = context.control.now().await.map_err(Failure::control)?;
            let _ = context
                .control
                .edit_tenant(tenant.id, &edit, now)
                .await
                .map_err(Failure::control)?;
        }
        context.control.settle_here().await.map_err(Failure::control)?;
        Ok((Settled { place, suspended: slugs }, after))
    };
    context.record(planned, settling).await
}
