//! Checks everything that must be right, and says of each problem what to do about it.

mod broker;
mod connections;
pub mod consumers;
mod exposure;
mod handlers;
pub mod occurrences;
mod producers;
pub mod tenants;
mod zones;

use shared::clock::Clock;
use shared::config::Config;
use shared::installed_rules::InstalledRules;
use shared::store::{Connections, Control, StoreError};

use super::context;
use super::failure::{Failure, control_reason};
use super::finding::{Finding, PRODUCER_SEEN_WITHIN, SEEN_WITHIN};
use super::step::Step;

/// What was found.
#[derive(Default)]
pub struct Report {
    /// In the order in which things are checked.
    pub findings: Vec<Finding>,
    /// What could not be reached, such as `the broker`.
    pub unreachable: Vec<&'static str>,
}

/// Checks the settings' databases, the broker, the live processes and the jobs; with a `range`
/// also that everything ran that should have. Calls `on_step` as it advances.
pub async fn check(
    config: &Config,
    range: Option<&occurrences::Range>,
    on_step: &mut impl FnMut(Step),
) -> Result<Report, Failure> {
    let connections = Connections::within(Clock::System, config.connections);
    let control = context::control(config, &connections)?;
    let mut report = Report::default();
    report.findings.push(Finding::ok("settings", "all can be read"));
    report.findings.extend(exposure::of_settings(config));
    broker::check(config, &mut report).await;
    let installed = InstalledRules::default();
    installed.follow(&control).await;
    report.findings.push(zones::of_rules(&installed));
    let Some(needs) = of_control(&control, config, &connections, &mut report, on_step).await else {
        return Ok(report);
    };
    report.findings.extend(broker::acknowledgement_timeout(config, needs.longest_timeout));
    if let Some(range) = range {
        let tenants = control.list_tenants().await.map_err(Failure::control)?;
        occurrences::check(&tenants, &connections, range, &mut report.findings, on_step).await;
    }
    Ok(report)
}

/// The control database, the tenants it lists and the processes registered there. None if the
/// database cannot be used.
async fn of_control(
    control: &Control,
    config: &Config,
    connections: &Connections,
    report: &mut Report,
    on_step: &mut impl FnMut(Step),
) -> Option<tenants::Needs> {
    let read = async {
        control.check_schema().await?;
        let now = control.now().await?;
        let producers = control.list_producers(now - PRODUCER_SEEN_WITHIN).await?;
        let workers = control.list_workers(now - SEEN_WITHIN).await?;
        Ok((control.list_tenants().await?, workers, producers))
    };
    let (tenants, workers, producers) = match read.await {
        Ok(read) => read,
        Err(error) => {
            let failure = control_reason(&error);
            if Failure::control(error).is_unreachable() {
                report.unreachable.push("the control database");
            }
            let remedy = "correct DATABASE_URL, start the database, or run `polychron migrate`";
            report.findings.push(Finding::problem("control database", failure, remedy));
            return None;
        }
    };
    let place = config.database_url.as_ref().map(ToString::to_string).unwrap_or_default();
    let finding =
        format!("{place} answers, its schema is known; tenants listed: {}", tenants.len());
    report.findings.push(Finding::ok("control database", finding));
    if let Err(StoreError::Elsewhere { before, now }) = control.check_place().await {
        let finding = format!("it was at {before} and is at {now}: nothing starts");
        let remedy = "run `polychron installation moved` if the one before is in use nowhere, or `polychron \
                      installation new` if this is a copy";
        report.findings.push(Finding::problem("control database", finding, remedy));
    }
    if let Err(error) = control.exercise_rights().await {
        let finding = format!("it cannot be written: {}", control_reason(&error));
        let remedy = "make it writable, or name the primary in DATABASE_URL; its role needs SELECT, INSERT, \
                      UPDATE and DELETE on all its tables";
        report.findings.push(Finding::problem("control database", finding, remedy));
    }
    if let Ok(Some(ids)) = control.find_lagging_ids().await {
        report.findings.push(tenants::of_lagging("control database", "polychron_audit", &ids));
    }
    report.findings.extend(producers::compare(&producers, tenants.len()));
    report.findings.extend(zones::of_producers(&producers));
    report.findings.extend(producers::of_unusable(&producers, &tenants));
    report.findings.extend(exposure::of_tenants(config, &tenants));
    let needs = tenants::check(tenants, connections, &mut report.findings, on_step).await;
    let superusers: Vec<&str> = needs.superusers.iter().map(String::as_str).collect();
    report.findings.extend(exposure::of_superusers(&superusers));
    let processes = producers.len() + workers.len();
    report.findings.extend(needs.servers.findings(config.connections, processes));
    report.findings.extend(consumers::compare(&workers, &needs));
    report.findings.extend(handlers::findings(&workers));
    Some(needs)
}
