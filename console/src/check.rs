//! `polychron check`: looks at everything that must be right, and says of each problem what to do
//! about it.
//!
//! Only problems make the command fail; warnings don't.

mod broker;
pub(crate) mod consumers;
pub(crate) mod occurrences;
mod producers;
pub(crate) mod tenants;

use shared::clock::Clock;
use shared::config::{Config, Problems};
use shared::store::{Connections, Control};

use crate::exit::{Failure, control_reason};
use crate::finding::{COLUMNS, Finding, Level, PRODUCER_SEEN_WITHIN, SEEN_WITHIN};
use crate::operator;
use crate::output::Output;

/// Everything found, and whether what all else depends on was out of reach.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    unreachable: Vec<&'static str>,
}

pub(crate) async fn run(
    config: Result<Config, Problems>,
    arguments: occurrences::Arguments,
    output: Output,
) -> Result<(), Failure> {
    let report = match config {
        Ok(config) => examine(&config, &arguments).await?,
        Err(Problems(problems)) => {
            let remedy = "correct it; `polychron check --help` shows every setting";
            let finding = |problem| Finding::problem("settings", problem, remedy);
            let findings = problems.into_iter().map(finding).collect();
            Report { findings, ..Report::default() }
        }
    };
    output.list(&report.findings, COLUMNS)?;
    let problems = report.findings.iter().filter(|finding| finding.level == Level::Problem).count();
    match (report.unreachable.as_slice(), problems) {
        ([], 0) => Ok(()),
        ([], problems) => Err(Failure::Failed(format!("problems found: {problems}"))),
        (unreachable, _) => {
            Err(Failure::Unreachable(format!("cannot reach {}", unreachable.join(" and "))))
        }
    }
}

async fn examine(config: &Config, arguments: &occurrences::Arguments) -> Result<Report, Failure> {
    let connections = Connections::new(Clock::System, config.connections);
    let control = operator::control(config, &connections)?;
    let mut report = Report::default();
    report.findings.push(Finding::ok("settings", "all can be read"));
    broker::look(config, &mut report).await;
    let Some(needs) = of_control(&control, config, &connections, &mut report).await else {
        return Ok(report);
    };
    report.findings.extend(broker::acknowledgement_timeout(config, needs.longest_timeout));
    if arguments.is_set() {
        let tenants = control.list_tenants().await.map_err(Failure::control)?;
        occurrences::check(&tenants, &connections, arguments, &mut report.findings).await;
    }
    Ok(report)
}

/// The control database, the tenants it lists and the processes registered there. None: it cannot
/// be used.
async fn of_control(
    control: &Control,
    config: &Config,
    connections: &Connections,
    report: &mut Report,
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
    report.findings.extend(producers::compare(&producers, tenants.len()));
    let needs = tenants::look(tenants, connections, &mut report.findings).await;
    report.findings.extend(consumers::compare(&workers, &needs));
    Some(needs)
}
