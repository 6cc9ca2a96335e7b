//! The session of a command: the operations' context, the actor, and where results are shown.

use serde::Serialize;
use shared::config::Config;
use shared::environment;
use shared::tenant::{Tenant, TenantStatus};

use crate::output::{Column, Output, column, maybe, say, whole_column};
use operations::change::{Actor, Change, DryRun};
use operations::context::Context;
use operations::failure::Failure;

/// The flags that concern a command's changes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Why the change is made, for the audit.
    pub reason: Option<String>,
    /// Whether changes are only shown.
    pub dry_run: bool,
}

/// The session of one command.
pub(crate) struct Session {
    pub(crate) context: Context,
    pub(crate) actor: Actor,
    pub(crate) output: Output,
}

const DRY_RUN: &[Column<DryRun>] = &[
    column("WOULD", |dry_run| dry_run.would.clone()),
    column("TENANT", |dry_run| maybe(dry_run.tenant.as_ref())),
    column("TARGET", |dry_run| maybe(dry_run.target.as_ref())),
    whole_column("BEFORE", |dry_run| maybe(dry_run.before.as_ref())),
    whole_column("AFTER", |dry_run| maybe(dry_run.after.as_ref())),
];

impl Session {
    /// Connects to the control database and checks its schema.
    pub(crate) async fn open(
        config: Config,
        output: Output,
        request: &Request,
    ) -> Result<Session, Failure> {
        let actor = actor(request)?;
        Ok(Session { context: Context::open(config).await?, actor, output })
    }

    /// Shows what a change made, or would make.
    pub(crate) fn show_change<T: Serialize>(
        &self,
        change: Change<T>,
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        match change {
            Change::Made(made) => self.output.record(&made, columns),
            Change::WouldMake(dry_run) => self.show_dry_run(&dry_run),
        }
    }

    /// Shows what a change would do.
    pub(crate) fn show_dry_run(&self, dry_run: &DryRun) -> Result<(), Failure> {
        say("nothing was changed: --dry-run");
        self.output.record(dry_run, DRY_RUN)
    }

    /// The same, of changes at several tenants.
    pub(crate) fn list_dry_runs(&self, dry_runs: &[DryRun]) -> Result<(), Failure> {
        say("nothing was changed: --dry-run");
        self.output.list(dry_runs, DRY_RUN)
    }
}

/// The person who runs this command.
fn actor(request: &Request) -> Result<Actor, Failure> {
    let user = environment::variable("USER").or_else(|| environment::variable("LOGNAME"));
    let name = format!("cli:{}", user.as_deref().unwrap_or("unknown"));
    let actor = Actor::new(name, request.reason.as_deref())?;
    Ok(actor.with_dry_run(request.dry_run))
}

/// If the tenant is suspended, says that the requested runs wait until it is resumed.
pub(crate) fn mention_suspension(tenant: &Tenant) {
    if tenant.status == TenantStatus::Suspended {
        let slug = &tenant.slug;
        say(&format!(
            "tenant {slug} is suspended: nothing starts until `polychron tenant resume {slug}`"
        ));
    }
}
