//! A tenant: the owner of a database of jobs, as the control database lists it.

use crate::clock::Time;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::string_enum::string_enum;

/// A row of `polychron_tenant`. Operators own every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Assigned when the tenant is added, and stored in the tenant's own database, too.
    pub id: TenantId,
    /// Its short name, which people and commands use.
    pub slug: String,
    /// Its full name.
    pub name: String,
    /// Whether its jobs run.
    pub status: TenantStatus,
    /// The URL of its database, with credentials.
    pub database_url: DatabaseUrl,
    /// The schema of its tables; none for SQLite, and if the role's search path finds them.
    pub schema: Option<String>,
    /// The maximum number of its executions that are dispatched or running at the same time, in all
    /// processes together.
    pub max_running: Option<i32>,
    /// Set by the control database.
    pub created_at: Time,
    /// When it was last edited.
    pub updated_at: Time,
}

string_enum! {
    /// Whether a tenant's jobs run.
    pub enum TenantStatus {
        /// They do.
        Active = "active",
        /// Nothing new starts. Running executions may finish, and lost ones are still rescued.
        Suspended = "suspended",
    }
}
