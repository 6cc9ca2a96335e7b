//! Jobs of one name at all tenants that have them.

use std::collections::BTreeSet;

use serde::Serialize;
use shared::job::Job;

use crate::each_tenant::FanOut;
use crate::input::confirm;
use crate::output::{Column, Of};
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::format::counted;

/// The jobs called `name`, and the fan-out that continues with their tenants.
pub(super) async fn find<'a>(
    name: &str,
    session: &'a Session,
) -> Result<(FanOut<'a>, Vec<Of<Job>>), Failure> {
    let mut fan_out = FanOut::begin(session).await?;
    let find =
        async |at: &TenantContext| at.store.find_job(name).await.map_err(|error| at.failed(error));
    let jobs = fan_out.ask("reading", find).await;
    if jobs.is_empty() && !fan_out.has_failed() {
        let remedy = "`polychron job list --all-tenants` lists the jobs there are";
        return Err(Failure::NotFound(format!("no tenant has a job `{name}`; {remedy}")));
    }
    Ok((fan_out, jobs))
}

/// The question before many jobs are changed.
pub(super) struct Question<'a> {
    /// What is done to them, such as `Pausing`.
    pub(super) doing: &'static str,
    /// The job's name.
    pub(super) name: &'a str,
    /// Whether `-y` was given.
    pub(super) yes: bool,
}

/// Changes each job of this name for which `wants` holds, once the user has confirmed it.
pub(super) async fn change<T: Serialize>(
    Question { doing, name, yes }: Question<'_>,
    session: &Session,
    wants: impl Fn(&Job) -> bool,
    change: impl AsyncFn(&TenantContext) -> Result<Change<T>, Failure>,
    columns: &[Column<T>],
) -> Result<(), Failure> {
    let (mut fan_out, jobs) = find(name, session).await?;
    let wanted = jobs.iter().filter(|of| wants(&of.item)).map(|of| of.tenant.as_str());
    let wanted: BTreeSet<&str> = wanted.collect();
    fan_out.keep(|slug| wanted.contains(slug));
    if !wanted.is_empty() && !session.actor.is_dry_run() {
        let tenants = counted(wanted.len(), "tenant");
        confirm(yes, &format!("{doing} job {name} at {tenants}."))?;
    }
    let changed = fan_out.ask(doing, async |at: &TenantContext| change(at).await.map(Some)).await;
    fan_out.show_changes(changed, columns).await
}
