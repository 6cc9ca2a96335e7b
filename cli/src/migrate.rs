//! `polychron migrate`: the control database first, then every tenant's, a few at once, continuing
//! past those that fail.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::clock::Clock;
use shared::config::Config;
use shared::store::{
    Connections, Control, Migrated, Migration, OldProgram, Schema, Store, StoreError, TenantEdit,
    Views,
};
use shared::tenant::Tenant;

use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::progress::Progress;
use crate::session::Request;
use operations::context;
use operations::failure::{Failure, reason};
use operations::step::Step;

/// How many databases are migrated at once.
const AT_ONCE: usize = 4;

/// The version of the control database from which on this program can read its list of tenants.
const LISTS_TENANTS: i64 = 4;
/// How long to wait for programs of a former version to stop: longer than the row of one that was
/// killed shows it as running.
const STOP_LIMIT: Duration = Duration::from_secs(70);
/// How often to see whether they have.
const STOP_POLL: Duration = Duration::from_secs(1);

/// Whose databases.
#[derive(Args)]
pub struct Arguments {
    /// Only this tenant's database, after the control database
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    /// Every tenant's database, which is the default
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
    /// Also make the views `job` and `job_execution` in tenants' databases, for reading only
    #[arg(long)]
    views: bool,
    /// Do not wait until producers and consumers of a former version have stopped
    #[arg(long)]
    stopped: bool,
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
    let migration = Migration { url, schema: Schema::Control, within: None, views: Views::Leave };
    let migrated = if dry_run {
        migration.preview().await.map_err(Failure::control)?
    } else {
        if !arguments.stopped {
            let from = migration.preview().await.map_err(Failure::control)?.from;
            let running = async || control.old_programs(from).await;
            refuse_running(until_stopped(&Clock::System, running).await)?;
        }
        let migrated = migration.run().await.map_err(Failure::control)?;
        control.check_schema().await.map_err(Failure::control)?;
        migrated
    };
    let is_listed = !dry_run || migrated.from >= LISTS_TENANTS;
    if !is_listed && migrated.from > 0 {
        say("the tenants are listed once the control database is migrated");
    }
    let tenants = match is_listed {
        true => tenants(&control, arguments.tenant.as_deref()).await?,
        false => Vec::new(),
    };
    let all = tenants.len();
    let progress = Progress::default();
    let mut step = Step::new("migrating", all);
    progress.show(step);
    let mut reports = vec![report(None, url.to_string(), Ok(migrated))];
    let views = if arguments.views { Views::Make } else { Views::Leave };
    let migrate = |tenant| of_tenant(tenant, &control, &connections, views, dry_run);
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

/// Waits for the programs that this migration would break; those that still run when time is up.
async fn until_stopped(
    clock: &Clock,
    running: impl AsyncFn() -> Result<Vec<OldProgram>, StoreError>,
) -> Result<Vec<OldProgram>, StoreError> {
    let until = clock.boot_time() + STOP_LIMIT;
    let mut has_said = false;
    loop {
        let found = running().await?;
        if found.is_empty() || clock.boot_time() >= until {
            return Ok(found);
        }
        if !has_said {
            let limit = STOP_LIMIT.as_secs();
            say(&format!("waiting up to {limit} s for programs to stop: {}", names(&found)));
            has_said = true;
        }
        clock.sleep(STOP_POLL).await;
    }
}

fn refuse_running(running: Result<Vec<OldProgram>, StoreError>) -> Result<(), Failure> {
    match running.map_err(Failure::control)? {
        running if running.is_empty() => Ok(()),
        running => Err(Failure::Failed(format!(
            "nothing was migrated: programs run that cannot use the new schema: {}. Stop them, or give \
             --stopped if they have stopped",
            names(&running)
        ))),
    }
}

fn names(programs: &[OldProgram]) -> String {
    programs.iter().map(OldProgram::to_string).collect::<Vec<_>>().join(", ")
}

async fn tenants(control: &Control, one: Option<&str>) -> Result<Vec<Tenant>, Failure> {
    let Some(slug) = one else {
        return control.list_tenants().await.map_err(Failure::control);
    };
    let found = control.find_tenant(slug).await.map_err(Failure::control)?;
    let unknown = || Failure::NotFound(context::unknown_tenant(slug));
    found.map(|tenant| vec![tenant]).ok_or_else(unknown)
}

async fn of_tenant(
    tenant: Tenant,
    control: &Control,
    connections: &Connections,
    views: Views,
    dry_run: bool,
) -> Report {
    let migration = Migration::of(&tenant, views);
    let done = async {
        if dry_run {
            return migration.preview().await;
        }
        let migrated = migration.run().await?;
        // A missing file was created again, empty: that must not count as success.
        let now = Store::of(&tenant, connections)?.now().await?;
        if tenant.schema.is_none() && migrated.within.is_some() {
            // The role's default may change; where the tables are does not.
            let schema = migrated.within.clone();
            let edit = TenantEdit { schema, ..TenantEdit::default() };
            // If it was removed meanwhile, its schema does not matter.
            let _ = control.edit_tenant(tenant.id, &edit, now).await?;
        }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use shared::clock::ManualClock;

    use super::*;

    /// Waits for a program that stops at the `stops_at`th time it is looked for; how often that was,
    /// and who still ran.
    async fn wait(stops_at: u32) -> (u32, usize) {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let program = OldProgram { kind: "producer".to_owned(), host: "a".to_owned(), pid: 7 };
        let asked = Cell::new(0);
        let running = async || {
            asked.set(asked.get() + 1);
            Ok(if asked.get() < stops_at { vec![program.clone()] } else { Vec::new() })
        };
        let time_passes = async {
            loop {
                tokio::task::yield_now().await;
                manual.advance(STOP_POLL);
            }
        };
        let left = tokio::select! {
            left = until_stopped(&clock, running) => left.unwrap(),
            () = time_passes => unreachable!(),
        };
        let said = refuse_running(Ok(left.clone())).err().map(|failure| failure.to_string());
        assert_eq!(said.is_some(), !left.is_empty());
        assert!(
            said.is_none_or(|said| said.contains("producer 7 on a") && said.contains("--stopped"))
        );
        (asked.get(), left.len())
    }

    #[tokio::test]
    async fn a_migration_waits_for_old_programs_but_not_for_ever() {
        assert_eq!(wait(1).await, (1, 0));
        assert_eq!(wait(9).await, (9, 0));
        let (asked, left) = wait(1000).await;
        assert!(asked <= 71 && left == 1, "{asked} {left}");
    }
}
