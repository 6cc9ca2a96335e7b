//! `polychron migrate`.

use clap::Args;
use shared::config::Config;
use shared::store::Views;

use crate::output::{Column, Output, column, maybe, say, whole_column};
use crate::progress::Progress;
use crate::session;
use operations::failure::Failure;
use operations::migrate::{
    Event, MigratedDatabase, Mode, OldPrograms, Request, STOP_LIMIT, TenantList, migrate, names,
};

/// Whose databases.
#[derive(Args)]
pub struct Arguments {
    /// Only this tenant's database, after the control database
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    /// Every tenant's database, which is the default
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
    /// Also create the views `job` and `job_execution` in tenants' databases, for reading only
    #[arg(long)]
    views: bool,
    /// Do not wait until producers and consumers of a former version have stopped
    #[arg(long)]
    stopped: bool,
}

const COLUMNS: &[Column<MigratedDatabase>] = &[
    column("TENANT", |database| database.tenant.clone().unwrap_or_else(|| "(control)".to_owned())),
    column("DATABASE", |database| database.database.clone()),
    column("FROM", |database| maybe(database.from)),
    column("TO", |database| maybe(database.to)),
    whole_column("PROBLEM", |database| maybe(database.problem.as_ref())),
];

pub(crate) async fn run(
    arguments: Arguments,
    config: Config,
    output: Output,
    request: &session::Request,
) -> Result<(), Failure> {
    let Arguments { tenant, all_tenants: _, views, stopped } = arguments;
    let request = Request {
        tenant,
        views: if views { Views::Make } else { Views::Leave },
        old_programs: if stopped { OldPrograms::HaveStopped } else { OldPrograms::Wait },
        mode: if request.dry_run { Mode::Preview } else { Mode::Apply },
    };
    let progress = Progress::default();
    let on_event = |event| match event {
        Event::Waiting(programs) => {
            let limit = STOP_LIMIT.as_secs();
            say(&format!("waiting up to {limit} s for programs to stop: {}", names(&programs)));
        }
        Event::Step(step) => progress.show(step),
    };
    let migrations = Box::pin(migrate(&config, &request, on_event)).await?;
    drop(progress);
    if migrations.tenants == TenantList::NeedsMigration {
        say("the tenants are listed once the control database is migrated");
    }
    if request.mode == Mode::Preview {
        say("nothing was changed: --dry-run");
    }
    output.list(&migrations.databases, COLUMNS)?;
    match migrations.failed() {
        0 => Ok(()),
        failed => Err(Failure::SomeTenants { failed, all: migrations.databases.len() - 1 }),
    }
}
