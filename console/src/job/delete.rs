//! `polychron job delete`.

use clap::Args;
use serde::Serialize;

use crate::exit::Failure;
use crate::input::confirm;
use crate::operation;
use crate::operation::job::find;
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
    let Session { operator, asker, output } = session;
    let at = operator.enter(&tenant).await?;
    let job = find(&at, &name).await?;
    let open_executions = at.store.count_open(job.id).await.map_err(|error| at.failed(error))?;
    let fate = format!("its open executions ({open_executions}) are cancelled, its history stays");
    if !asker.rehearses() {
        confirm(yes, &format!("Deleting job {name} of tenant {}: {fate}.", at.tenant.slug))?;
    }
    operation::job::delete(operator, asker, &at, &job).await?;
    say(&format!("job {name} is deleted; {fate}"));
    output.record(&Deleted { deleted: name, open_executions }, DELETED)
}
