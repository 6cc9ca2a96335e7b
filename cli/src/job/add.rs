//! `polychron job add`.

use clap::Args;
use shared::id::{JobId, TenantId};
use shared::schedule::Spread;
use uuid::Uuid;

use super::definition::{Definition, Timing};
use super::{COLUMNS, FIELDS};
use crate::each_tenant::FanOut;
use crate::input::confirm;
use crate::session::{Session, mention_suspension};
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::format::counted;

#[derive(Args)]
pub struct Add {
    /// The tenant; left out with --all-tenants
    #[arg(value_name = "TENANT")]
    first: String,
    /// The name of the job: 1 to 200 characters, unique within the tenant
    #[arg(value_name = "NAME", required_unless_present = "all_tenants")]
    #[arg(conflicts_with = "all_tenants")]
    second: Option<String>,
    /// At every tenant, continuing past those that fail or have a job of this name (exit code 4 then)
    #[arg(long)]
    all_tenants: bool,
    /// The job type, which selects the handler
    #[arg(long = "type", value_name = "TYPE")]
    job_type: String,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    definition: Definition,
    /// Add it paused
    #[arg(long)]
    disabled: bool,
    /// Do not ask for confirmation, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Add, session: &Session) -> Result<(), Failure> {
    let Add { first, second, job_type, timing, definition, disabled, yes, .. } = arguments;
    let (tenant, name) = match second {
        Some(name) => (Some(first), name),
        None => (None, first),
    };
    // Neither the tenant nor the job's id matters for reading the schedule.
    let spread = Spread::new(TenantId(Uuid::nil()), JobId(0));
    let schedule = timing.schedule(spread)?.ok_or_else(|| {
        Failure::Usage("say when the job runs: --cron, --every, --at or --schedule".to_owned())
    })?;
    let mut new = definition.new_job(&name, &job_type, schedule)?;
    new.is_enabled = !disabled;
    let Session { context, actor, .. } = session;
    let add = async |at: &TenantContext| operations::job::add(context, actor, at, &new).await;
    if let Some(slug) = tenant {
        let at = context.enter(&slug).await?;
        let change = add(&at).await?;
        if let Change::Made(_) = &change {
            mention_suspension(&at.tenant);
        }
        return session.show_change(change, FIELDS);
    }
    let mut fan_out = FanOut::begin(session).await?;
    if !actor.is_dry_run() {
        confirm(yes, &format!("Adding job {name} at {}.", counted(fan_out.count(), "tenant")))?;
    }
    let added = fan_out.ask("Adding", async |at: &TenantContext| add(at).await.map(Some)).await;
    fan_out.show_changes(added, COLUMNS).await
}
