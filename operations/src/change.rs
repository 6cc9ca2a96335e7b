//! A change: who requests it, what is planned, and its result.

use serde::Serialize;
use serde_json::Value;
use shared::id::TenantId;
use shared::store;
use shared::tenant::Tenant;

use crate::failure::Failure;

/// The longest reason that is recorded, in characters.
const REASON_CHARS_MAX: usize = 500;

/// Who requests a change, why, and whether it is only a dry run.
#[derive(Clone, Debug)]
pub struct Actor {
    name: String,
    reason: Option<String>,
    is_dry_run: bool,
    is_limited: bool,
}

impl Actor {
    /// `name` is what the audit calls them, such as `web:ann`. A blank reason counts as none.
    ///
    /// # Errors
    /// When the reason is too long.
    pub fn new(name: String, reason: Option<&str>) -> Result<Actor, Failure> {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
            let text = format!("reason: it has more than {REASON_CHARS_MAX} characters");
            return Err(Failure::Usage(text));
        }
        Ok(Actor { name, reason: reason.map(str::to_owned), is_dry_run: false, is_limited: false })
    }

    /// The same actor, whose changes are only shown if `is_dry_run`.
    pub fn with_dry_run(self, is_dry_run: bool) -> Actor {
        Actor { is_dry_run, ..self }
    }

    /// The same actor; limited to some tenants if `is_limited`. They cannot undo what an operator of
    /// all tenants has set for one of them.
    pub fn with_limit(self, is_limited: bool) -> Actor {
        Actor { is_limited, ..self }
    }

    /// Whether they are limited to some tenants.
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// Whether changes are only shown, and none is made.
    pub fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// Plans a change at a tenant. `action` is a noun and a verb, such as `job.edit`; `target` is what
    /// it changes; `before` is the state before it, as the audit records that.
    pub fn plan(
        &self,
        action: &str,
        tenant: &Tenant,
        target: Option<String>,
        before: Option<Value>,
    ) -> PlannedChange {
        let planned = self.plan_for_all(action);
        let tenants = Some(tenant.slug.clone());
        let audit = store::Change { tenant: tenants, target, before, ..planned.audit };
        PlannedChange { audit, tenant: Some(tenant.id), ..planned }
    }

    /// Plans a change that concerns no tenant in particular.
    pub fn plan_for_all(&self, action: &str) -> PlannedChange {
        let audit = store::Change {
            actor: self.name.clone(),
            action: action.to_owned(),
            tenant: None,
            target: None,
            before: None,
            reason: self.reason.clone(),
        };
        PlannedChange { audit, tenant: None, after: None, is_dry_run: self.is_dry_run }
    }
}

/// A change that was requested and has not been made yet.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    pub(super) audit: store::Change,
    /// The tenant it is made at; none if it concerns all.
    pub(super) tenant: Option<TenantId>,
    /// The state after the change, as far as it is known before.
    pub(super) after: Option<Value>,
    pub(super) is_dry_run: bool,
}

impl PlannedChange {
    /// The same, with the state after the change.
    pub fn towards(self, after: Value) -> PlannedChange {
        PlannedChange { after: Some(after), ..self }
    }
}

/// The result of a change.
#[derive(Debug)]
#[must_use]
pub enum Change<T> {
    /// It was made.
    Made(T),
    /// It was a dry run: this is what would have been done.
    WouldMake(DryRun),
}

impl<T> Change<T> {
    /// Converts what was made by `f`.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Change::Made(value) => Change::Made(f(value)),
            Change::WouldMake(dry_run) => Change::WouldMake(dry_run),
        }
    }

    /// What was made; none after a dry run.
    pub fn made(self) -> Option<T> {
        match self {
            Change::Made(value) => Some(value),
            Change::WouldMake(_) => None,
        }
    }
}

/// What a change would do, in the fields of the audit.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    /// The action, such as `job.edit`.
    pub would: String,
    /// The tenant's slug.
    pub tenant: Option<String>,
    /// The job or execution that would be changed; none if it is the tenant itself.
    pub target: Option<String>,
    /// How it is now; none if it is new.
    pub before: Option<Value>,
    /// The state after the change.
    pub after: Option<Value>,
}

impl From<PlannedChange> for DryRun {
    fn from(PlannedChange { audit, after, .. }: PlannedChange) -> DryRun {
        let store::Change { action: would, tenant, target, before, .. } = audit;
        DryRun { would, tenant, target, before, after }
    }
}
