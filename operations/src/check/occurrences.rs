//! Whether everything ran that should have.

use std::time::Duration;

use ::occurrences::{ClockHistory, Report, Scope, Violation};
use chrono::TimeDelta;
use shared::clock::{Time, delta};
use shared::store::{Connections, Store, StoreError};
use shared::tenant::{Tenant, TenantStatus};

use crate::failure::reason;
use crate::finding::Finding;
use crate::step::Step;

/// Which occurrences are checked.
pub struct Range {
    /// Those from this time on; a day ago by default.
    pub from: Option<Time>,
    /// Those before this time; by default all up to now, and each job's next time.
    pub to: Option<Time>,
    /// How overdue something may be before it is a problem.
    pub patience: Duration,
}

impl Range {
    fn scope(&self, tenant: &Tenant, now: Time) -> Scope {
        let patience = match tenant.status {
            TenantStatus::Active => delta(self.patience),
            // Nothing is overdue while its tenant is suspended.
            TenantStatus::Suspended => TimeDelta::days(36_500),
        };
        let from = self.from.unwrap_or(now - TimeDelta::days(1));
        let clock = ClockHistory::Monotonic;
        Scope { from, to: self.to, now, patience, dispatch_patience: patience, clock }
    }
}

/// Checks each tenant in turn.
pub(super) async fn check(
    tenants: &[Tenant],
    connections: &Connections,
    range: &Range,
    findings: &mut Vec<Finding>,
    on_step: &mut impl FnMut(Step),
) {
    let mut step = Step::new("checking occurrences", tenants.len());
    on_step(step);
    for tenant in tenants {
        let subject = format!("occurrences of {}", tenant.slug);
        match check_one(tenant, connections, range).await {
            Ok(report) => findings.extend(of_report(&subject, report)),
            Err(error) => {
                let finding = format!("could not be read: {}", reason(&error));
                findings.push(Finding::problem(subject, finding, "see this tenant's own line"));
            }
        }
        step.done += 1;
        on_step(step);
    }
}

async fn check_one(
    tenant: &Tenant,
    connections: &Connections,
    range: &Range,
) -> Result<Report, StoreError> {
    let store = Store::of(tenant, connections)?;
    let scope = range.scope(tenant, store.now().await?.time());
    ::occurrences::check(&store, tenant, &scope).await
}

fn of_report(subject: &str, report: Report) -> Vec<Finding> {
    let Report { jobs, executions, occurrences, violations, more } = report;
    let counts = format!("jobs {jobs}, occurrences {occurrences}, executions {executions}");
    if violations.is_empty() {
        return vec![Finding::ok(subject, format!("{counts}: all accounted for"))];
    }
    let mut findings: Vec<Finding> =
        violations.iter().map(|violation| of_violation(subject, violation)).collect();
    if more > 0 {
        let finding = format!("{counts}; violations beyond those above: {more}");
        findings.push(Finding::problem(subject, finding, "narrow it by --from and --to"));
    }
    findings
}

fn of_violation(subject: &str, violation: &Violation) -> Finding {
    let Violation { rule, job, what, rows } = violation;
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let rows = if rows.is_empty() { String::new() } else { format!(" [{}]", rows.join("; ")) };
    let finding = format!("{}: job {job}: {what}{rows}", rule.as_str());
    let remedy = "inspect these rows with `polychron execution show`; docs/reliability.md explains \
                  each rule";
    Finding::problem(subject, finding, remedy)
}
