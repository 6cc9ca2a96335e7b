//! `check --audit`: did everything that should have run, run?

use std::time::Duration;

use ::audit::{Report, Scope, Violation};
use chrono::TimeDelta;
use clap::Args;
use shared::clock::{Time, delta};
use shared::store::{Connections, Store, StoreError};
use shared::tenant::{Tenant, TenantStatus};

use super::Finding;
use crate::exit::reason;
use crate::progress::Progress;

/// What to audit.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Also verify from the tenants' tables that everything that should have run did
    #[arg(long)]
    audit: bool,
    /// Audit occurrences from this time on, such as 2026-11-24T00:00:00Z; a day ago by default
    #[arg(long, value_name = "TIME", requires = "audit", value_parser = crate::input::time)]
    from: Option<Time>,
    /// Audit occurrences before this time; by default all up to now, and each job's next time
    #[arg(long, value_name = "TIME", requires = "audit", value_parser = crate::input::time)]
    to: Option<Time>,
    /// How late something may be before it counts as left behind
    #[arg(long, value_name = "DURATION", requires = "audit", default_value = "1h",
          value_parser = humantime::parse_duration)]
    patience: Duration,
}

impl Arguments {
    /// Whether an audit was asked for.
    pub(super) fn asked(&self) -> bool {
        self.audit
    }

    fn scope(&self, tenant: &Tenant, now: Time) -> Scope {
        let patience = match tenant.status {
            TenantStatus::Active => delta(self.patience),
            // What has not started, waits as long as its tenant is suspended.
            TenantStatus::Suspended => TimeDelta::days(36_500),
        };
        let from = self.from.unwrap_or(now - TimeDelta::days(1));
        Scope { from, to: self.to, now, patience, unseen: patience, steady_clock: true }
    }
}

/// Audits each tenant in turn.
pub(super) async fn look(
    tenants: &[Tenant],
    connections: &Connections,
    arguments: &Arguments,
    findings: &mut Vec<Finding>,
) {
    let mut progress = Progress::new("auditing", tenants.len());
    for tenant in tenants {
        let subject = format!("audit of {}", tenant.slug);
        match audit_one(tenant, connections, arguments).await {
            Ok(report) => findings.extend(of_report(&subject, report)),
            Err(error) => {
                let finding = format!("could not be read: {}", reason(&error));
                findings.push(Finding::problem(subject, finding, "see this tenant's own line"));
            }
        }
        progress.advance();
    }
}

async fn audit_one(
    tenant: &Tenant,
    connections: &Connections,
    arguments: &Arguments,
) -> Result<Report, StoreError> {
    let store = Store::new(tenant.id, &tenant.database_url, connections)?;
    let scope = arguments.scope(tenant, store.now().await?);
    ::audit::audit(&store, tenant, &scope).await
}

fn of_report(subject: &str, report: Report) -> Vec<Finding> {
    let Report { jobs, executions, occurrences, violations, more } = report;
    let looked_at = format!("jobs {jobs}, occurrences {occurrences}, executions {executions}");
    if violations.is_empty() {
        return vec![Finding::ok(subject, format!("{looked_at}: all accounted for"))];
    }
    let mut findings: Vec<Finding> =
        violations.iter().map(|violation| of_violation(subject, violation)).collect();
    if more > 0 {
        let finding = format!("{looked_at}; violations beyond those above: {more}");
        findings.push(Finding::problem(subject, finding, "narrow it by --from and --to"));
    }
    findings
}

fn of_violation(subject: &str, violation: &Violation) -> Finding {
    let Violation { rule, job, what, rows } = violation;
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let rows = if rows.is_empty() { String::new() } else { format!(" [{}]", rows.join("; ")) };
    let finding = format!("{}: job {job}: {what}{rows}", rule.as_str());
    let remedy = "look at these rows by `polychron execution show`; docs/reliability.md says what \
                  each rule means";
    Finding::problem(subject, finding, remedy)
}
