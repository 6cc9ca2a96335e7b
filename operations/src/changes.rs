//! The changes that the audit records for a job and its tenant: who paused, suspended or edited what.

use shared::clock::Time;
use shared::store::{Audit, AuditFilter};

use crate::context::{Context, TenantContext};
use crate::failure::Failure;
use crate::format::time;

/// How many changes of the tenant, and of the job, are read.
const READ_MAX: i64 = 100;

/// Changes that were made, the newest first.
pub(crate) struct Changes(Vec<Audit>);

impl Changes {
    /// Reads the changes of a job and of its tenant.
    pub(crate) async fn read(
        context: &Context,
        at: &TenantContext,
        job: &str,
    ) -> Result<Changes, Failure> {
        let tenant = Some(at.tenant.slug.clone());
        let of_job = AuditFilter { tenant, target: Some(job.to_owned()), before: None };
        let of_tenant = AuditFilter { target: None, ..of_job.clone() };
        let mut changes = Vec::new();
        for filter in [of_job, of_tenant] {
            let listed = context.control.list_audit(&filter, READ_MAX).await;
            let listed = listed.map_err(Failure::control)?.into_iter();
            let is_of_tenant = filter.target.is_none();
            changes.extend(listed.filter(|change| {
                change.after.is_some() && (!is_of_tenant || change.target.is_none())
            }));
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.id));
        Ok(Changes(changes))
    }

    /// The latest `action`, unless a later `undoing` cancelled it.
    fn in_effect(&self, action: &str, undoing: &str) -> Option<&Audit> {
        let found =
            self.0.iter().find(|change| change.action == action || change.action == undoing);
        found.filter(|change| change.action == action)
    }

    /// The first matching change after a time.
    pub(super) fn first_after(
        &self,
        after: Time,
        is_meant: impl Fn(&Audit) -> bool,
    ) -> Option<&Audit> {
        self.0.iter().rev().filter(|change| change.at > after).find(|change| is_meant(change))
    }

    /// The latest matching change up to a time.
    pub(super) fn last_until(
        &self,
        until: Time,
        is_meant: impl Fn(&Audit) -> bool,
    ) -> Option<&Audit> {
        self.0.iter().filter(|change| change.at <= until).find(|change| is_meant(change))
    }

    /// Who paused the job.
    pub(crate) fn pause(&self) -> Option<String> {
        self.in_effect("job.pause", "job.resume").map(describe)
    }

    /// Who added the job disabled.
    pub(crate) fn added_disabled(&self) -> Option<String> {
        let is_disabled = |change: &&Audit| {
            change.after.as_ref().is_some_and(|after| after["is_enabled"] == false)
        };
        self.0.iter().find(|change| change.action == "job.add").filter(is_disabled).map(describe)
    }

    /// Who suspended the tenant.
    pub(crate) fn suspension(&self) -> Option<String> {
        self.in_effect("tenant.suspend", "tenant.resume").map(describe)
    }
}

/// Describes when, by whom and why a change was made.
pub(super) fn describe(change: &Audit) -> String {
    let reason = change.reason.as_ref().map(|reason| format!(" (\"{reason}\")"));
    format!("at {} by {}{}", time(Some(change.at)), change.actor, reason.unwrap_or_default())
}
