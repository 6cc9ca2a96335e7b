//! A tenant: the owner of a database of jobs, as the control database lists it.

use crate::clock::Time;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::string_enum::string_enum;

/// A row of `polychron_tenant`. Operators own every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Given when the tenant is added; also kept in the tenant's own database.
    pub id: TenantId,
    /// What people and commands call it.
    pub slug: String,
    /// What it is called in full.
    pub name: String,
    /// Whether its jobs run.
    pub status: TenantStatus,
    /// Where its database is, and how to get in.
    pub database_url: DatabaseUrl,
    /// In which schema of its database its tables are; none for SQLite, and where the role's own
    /// search path leads to them.
    pub schema: Option<String>,
    /// The most of its executions that may be dispatched or running at once, anywhere.
    pub max_running: Option<i32>,
    /// Set by the control database.
    pub created_at: Time,
    /// Set by whoever edits.
    pub updated_at: Time,
}

string_enum! {
    /// Whether a tenant's jobs run.
    pub enum TenantStatus {
        /// They do.
        Active = "active",
        /// Nothing new starts; what runs may end, and lost workers are still noticed.
        Suspended = "suspended",
    }
}
