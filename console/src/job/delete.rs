//! `polychron job delete`.

use clap::Args;
use serde::Serialize;

use super::find;
use crate::exit::Failure;
use crate::input::confirm;
use crate::output::{Column, column, say};
use crate::session::Session;

#[derive(Args)]
pub(crate) struct Delete {
    /// The tenant
    tenant: String,
    /// The job
    job: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Deleted {
    deleted: String,
    /// How many of its executions were open.
    open_executions: i64,
}

const DELETED: &[Column<Deleted>] = &[
    column("deleted", |deleted| deleted.deleted.clone()),
    column("open executions", |deleted| deleted.open_executions.to_string()),
];

pub(super) async fn run(arguments: Delete, session: &Session) -> Result<(), Failure> {
    let Delete { tenant, job: name, yes } = arguments;
    let (tenant, store, _) = session.enter(&tenant).await?;
    let of_tenant = |error| Failure::tenant(&tenant, error);
    let job = find(&tenant, &store, &name).await?;
    let open_executions = store.count_open(job.id).await.map_err(of_tenant)?;
    let fate = format!("its open executions ({open_executions}) are cancelled, its history stays");
    confirm(yes, &format!("Deleting job {name} of tenant {}: {fate}.", tenant.slug))?;
    if !store.delete_job(job.id).await.map_err(of_tenant)? {
        return Err(Failure::NotFound(format!("job {name} was deleted meanwhile")));
    }
    session.wake(tenant.id).await;
    say(&format!("job {name} is deleted; {fate}"));
    session.output.record(&Deleted { deleted: name, open_executions }, DELETED)
}
