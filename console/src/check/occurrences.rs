//! `check --occurrences`: did everything that should have run, run?

use std::time::Duration;

use ::occurrences::{ClockHistory, Report, Scope, Violation};
use chrono::TimeDelta;
use clap::Args;
use shared::clock::{Time, delta};
use shared::store::{Connections, Store, StoreError};
use shared::tenant::{Tenant, TenantStatus};

use super::Finding;
use crate::exit::reason;
use crate::progress::Progress;

/// Which occurrences to check.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Also check in the tenants' tables that everything that should have run did
    #[arg(long, alias = "audit")]
    occurrences: bool,
    /// Check occurrences from this time on, such as 2026-11-24T00:00:00Z; a day ago by default
    #[arg(long, value_name = "TIME", requires = "occurrences", value_parser = crate::input::time)]
    from: Option<Time>,
    /// Check occurrences before this time; by default all up to now, and each job's next time
    #[arg(long, value_name = "TIME", requires = "occurrences", value_parser = crate::input::time)]
    to: Option<Time>,
    /// How overdue something may be before it is a problem
    #[arg(long, value_name = "DURATION", requires = "occurrences", default_value = "1h",
          value_parser = humantime::parse_duration)]
    patience: Duration,
}

impl Arguments {
    /// Whether occurrences are to be checked.
    pub(super) fn is_set(&self) -> bool {
        self.occurrences
    }

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
    arguments: &Arguments,
    findings: &mut Vec<Finding>,
) {
    let mut progress = Progress::new("checking occurrences", tenants.len());
    for tenant in tenants {
        let subject = format!("occurrences of {}", tenant.slug);
        match check_one(tenant, connections, arguments).await {
            Ok(report) => findings.extend(of_report(&subject, report)),
            Err(error) => {
                let finding = format!("could not be read: {}", reason(&error));
                findings.push(Finding::problem(subject, finding, "see this tenant's own line"));
            }
        }
        progress.advance();
    }
}

async fn check_one(
    tenant: &Tenant,
    connections: &Connections,
    arguments: &Arguments,
) -> Result<Report, StoreError> {
    let store = Store::of(tenant, connections)?;
    let scope = arguments.scope(tenant, store.now().await?);
    ::occurrences::check(&store, tenant, &scope).await
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
