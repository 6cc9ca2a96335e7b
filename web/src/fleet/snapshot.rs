//! What is known of one tenant, and how old that is.

use operations::tenant::TenantView;
use shared::clock::BootTime;
use shared::store::ChangeToken;

use super::stats::TenantStats;

/// A tenant at the time of its last visit.
#[derive(Clone, Debug)]
pub(crate) struct TenantSnapshot {
    pub(crate) tenant: TenantView,
    /// When its database was read; none before the first visit.
    pub(super) at: Option<BootTime>,
    /// Tells whether the database has changed since it was read.
    pub(super) change_token: Option<ChangeToken>,
    /// Why the last visit failed, if it did.
    pub(crate) problem: Option<String>,
    pub(crate) stats: TenantStats,
}

impl TenantSnapshot {
    /// Of a tenant that has not been visited yet.
    pub(super) fn unvisited(tenant: TenantView) -> TenantSnapshot {
        let stats = TenantStats::default();
        TenantSnapshot { tenant, at: None, change_token: None, problem: None, stats }
    }
}
