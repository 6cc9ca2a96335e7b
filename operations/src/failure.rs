//! Why an operation failed.

use shared::config::Problems;
use shared::store::{StoreError, chain};
use shared::tenant::Tenant;

use crate::format::counted;

/// Why an operation failed. The text says why, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was tried, and did not succeed.
    #[error("{0}")]
    Failed(String),
    /// It was tried in a tenant's database, and did not succeed.
    #[error("{text}")]
    TenantFailed {
        /// The tenant's slug.
        tenant: String,
        /// Why, with the tenant and the database.
        text: String,
    },
    /// It is not possible in the present state.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since the user read it.
    #[error("{0}")]
    Stale(String),
    /// The database refused the data.
    #[error("{0}")]
    Refused(String),
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The user may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// Some tenants failed; each was reported.
    #[error("{failed} of {} failed; see above", counted(*.all, "tenant"))]
    SomeTenants {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// A database or the broker cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// Whether a database or the broker cannot be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Failure::Unreachable(_))
    }

    /// The failure for an error of the control database.
    pub fn control(error: StoreError) -> Failure {
        let reason = control_reason(&error);
        Failure::of(&error, format!("control database: {reason}"))
    }

    /// The failure for an error of a tenant's database.
    pub fn tenant(tenant: &Tenant, error: StoreError) -> Failure {
        let Tenant { slug, database_url, .. } = tenant;
        let text = format!("tenant {slug}, {database_url}: {}", reason(&error));
        match Failure::of(&error, text) {
            Failure::Failed(text) => Failure::TenantFailed { tenant: slug.to_string(), text },
            failure => failure,
        }
    }

    fn of(error: &StoreError, text: String) -> Failure {
        match error {
            StoreError::Unreachable(_)
            | StoreError::Slow(_)
            | StoreError::Busy(_)
            | StoreError::Denied(_) => Failure::Unreachable(text),
            StoreError::Refused(_) => Failure::Refused(text),
            StoreError::Schema { .. }
            | StoreError::TooOld { .. }
            | StoreError::Setup(_)
            | StoreError::Url(_)
            | StoreError::MissingTable(_)
            | StoreError::Elsewhere { .. }
            | StoreError::Unowned
            | StoreError::Owned(_)
            | StoreError::StaleSession(_)
            | StoreError::Pooled
            | StoreError::Conflict(_)
            | StoreError::TooLarge(_)
            | StoreError::Failed(_) => Failure::Failed(text),
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// The engine could not start, or could not go on.
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(format!("{error:#}"))
    }
}

/// Why the control database cannot be used. `StoreError`'s own messages assume a tenant's database.
pub fn control_reason(error: &StoreError) -> String {
    match error {
        StoreError::Denied(cause) => {
            format!("access refused; correct DATABASE_URL or its role's rights: {}", chain(cause))
        }
        StoreError::Unreachable(cause) => {
            format!("cannot be reached; start it, or correct DATABASE_URL: {}", chain(cause))
        }
        other => reason(other),
    }
}

/// Why a database failed, with the chain of causes unless that only repeats the message.
pub fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Refused(_) | StoreError::Failed(_) => error.to_string(),
        other => chain(other),
    }
}
