//! `polychron migrate`: the control database first, then every tenant's, a few at once, going on
//! past those that fail.

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Clock;
use shared::config::Config;
use shared::store::{Connections, Migrated, Schema, Store, StoreError, migrate};
use shared::tenant::Tenant;

use crate::exit::{Failure, reason};
use crate::operator;
use crate::output::{Column, Output, column, maybe, whole_column};

/// How many databases are brought up to date at once.
const AT_ONCE: usize = 4;

/// What became of one database.
#[derive(Serialize)]
struct Report {
    /// The tenant; none for the control database.
    tenant: Option<String>,
    database: String,
    from: Option<i64>,
    to: Option<i64>,
    problem: Option<String>,
}

const COLUMNS: &[Column<Report>] = &[
    column("TENANT", |report| report.tenant.clone().unwrap_or_else(|| "(control)".to_owned())),
    column("DATABASE", |report| report.database.clone()),
    column("FROM", |report| maybe(report.from)),
    column("TO", |report| maybe(report.to)),
    whole_column("PROBLEM", |report| maybe(report.problem.as_ref())),
];

pub(crate) async fn run(config: Config, output: Output) -> Result<(), Failure> {
    let connections = Connections::new(Clock::System, config.connections);
    let control = operator::control(&config, &connections)?;
    let url = config
        .database_url
        .as_ref()
        .ok_or_else(|| Failure::Usage("DATABASE_URL is not set".to_owned()))?;
    let migrated = migrate(url, Schema::Control).await.map_err(Failure::control)?;
    let tenants = control.list_tenants().await.map_err(Failure::control)?;
    let all = tenants.len();
    let mut reports = vec![report(None, url.to_string(), Ok(migrated))];
    let mut each =
        stream::iter(tenants).map(|tenant| of_tenant(tenant, &connections)).buffered(AT_ONCE);
    while let Some(report) = each.next().await {
        reports.push(report);
    }
    output.list(&reports, COLUMNS)?;
    match reports.iter().filter(|report| report.problem.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::SomeTenants { failed, all }),
    }
}

async fn of_tenant(tenant: Tenant, connections: &Connections) -> Report {
    let Tenant { id, slug, database_url, .. } = tenant;
    let done = async {
        let migrated = migrate(&database_url, Schema::Tenant).await?;
        // A file that had gone is there again, but empty: that must not pass for success.
        Store::new(id, &database_url, connections)?.now().await?;
        Ok(migrated)
    };
    report(Some(slug), database_url.to_string(), done.await)
}

fn report(tenant: Option<String>, database: String, done: Result<Migrated, StoreError>) -> Report {
    let (from, to, problem) = match done {
        Ok(Migrated { from, to }) => (Some(from), Some(to), None),
        Err(error) => (None, None, Some(reason(&error))),
    };
    Report { tenant, database, from, to, problem }
}
