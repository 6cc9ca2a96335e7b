//! `polychron migrate`: the control database first, then every tenant's, a few at once, going on
//! past those that fail.

use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Clock;
use shared::config::Config;
use shared::store::{Connections, Control, Migrated, Migration, Schema, Store, StoreError};
use shared::tenant::Tenant;

use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::progress::Progress;
use crate::session::Request;
use operations::context;
use operations::failure::{Failure, reason};
use operations::step::Step;

/// How many databases are brought up to date at once.
const AT_ONCE: usize = 4;

/// Whose databases.
#[derive(Args)]
pub struct Arguments {
    /// Only this tenant's, after the control database
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    /// Every tenant's, which is the default
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
}

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

pub(crate) async fn run(
    arguments: Arguments,
    config: Config,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let connections = Connections::new(Clock::System, config.connections);
    let control = context::control(&config, &connections)?;
    let url = config
        .database_url
        .as_ref()
        .ok_or_else(|| Failure::Usage("DATABASE_URL is not set".to_owned()))?;
    let dry_run = request.dry_run;
    let migration = Migration { url, schema: Schema::Control, within: None, views: false };
    let migrated = match dry_run {
        true => migration.preview().await,
        false => migration.run().await,
    };
    let migrated = migrated.map_err(Failure::control)?;
    let tenants = match migrated.from {
        // There is no list yet.
        0 if dry_run => Vec::new(),
        _ => tenants(&control, arguments.tenant.as_deref()).await?,
    };
    let all = tenants.len();
    let progress = Progress::default();
    let mut step = Step::new("migrating", all);
    progress.show(step);
    let mut reports = vec![report(None, url.to_string(), Ok(migrated))];
    let migrate = |tenant| of_tenant(tenant, &connections, dry_run);
    let mut each = stream::iter(tenants).map(migrate).buffered(AT_ONCE);
    while let Some(report) = each.next().await {
        reports.push(report);
        step.done += 1;
        progress.show(step);
    }
    drop(progress);
    if dry_run {
        say("nothing was changed: --dry-run");
    }
    output.list(&reports, COLUMNS)?;
    match reports.iter().filter(|report| report.problem.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::SomeTenants { failed, all }),
    }
}

async fn tenants(control: &Control, one: Option<&str>) -> Result<Vec<Tenant>, Failure> {
    let Some(slug) = one else {
        return control.list_tenants().await.map_err(Failure::control);
    };
    let found = control.find_tenant(slug).await.map_err(Failure::control)?;
    let unknown = || Failure::NotFound(context::unknown_tenant(slug));
    found.map(|tenant| vec![tenant]).ok_or_else(unknown)
}

async fn of_tenant(tenant: Tenant, connections: &Connections, dry_run: bool) -> Report {
    let migration = Migration::of(&tenant, false);
    let done = async {
        if dry_run {
            return migration.preview().await;
        }
        let migrated = migration.run().await?;
        // A file that had gone is there again, but empty: that must not pass for success.
        Store::of(&tenant, connections)?.now().await?;
        Ok(migrated)
    };
    let done = done.await;
    report(Some(tenant.slug.clone()), tenant.database_url.to_string(), done)
}

fn report(tenant: Option<String>, database: String, done: Result<Migrated, StoreError>) -> Report {
    let (from, to, problem) = match done {
        Ok(Migrated { from, to, .. }) => (Some(from), Some(to), None),
        Err(error) => (None, None, Some(reason(&error))),
    };
    Report { tenant, database, from, to, problem }
}
