//! `polychron job delete`.

use clap::Args;
use serde::Serialize;
use shared::job::Job;

use super::everywhere::{self, Question};
use crate::each_tenant::Jobs;
use crate::input::confirm;
use crate::output::{Column, column, say};
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::find;

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    jobs: Jobs,
    /// Do not ask for confirmation
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
    let Delete { jobs, yes } = arguments;
    let (tenant, name) = jobs.named();
    let Session { context, actor, .. } = session;
    let Some(slug) = tenant else {
        let question = Question { doing: "Deleting", name: &name, yes };
        let delete = async |at: &TenantContext| {
            let job = find(at, &name).await?;
            let open_executions = count_open(at, &job).await?;
            let change = operations::job::delete(context, actor, at, &job).await?;
            Ok(change.map(|()| Deleted { deleted: name.clone(), open_executions }))
        };
        return everywhere::change(question, session, |_| true, delete, DELETED).await;
    };
    let at = context.enter(&slug).await?;
    let job = find(&at, &name).await?;
    let open_executions = count_open(&at, &job).await?;
    let fate = format!("its open executions ({open_executions}) are cancelled, its history stays");
    if !actor.is_dry_run() {
        confirm(yes, &format!("Deleting job {name} of tenant {}: {fate}.", at.tenant.slug))?;
    }
    let change = operations::job::delete(context, actor, &at, &job).await?;
    if let Change::Made(()) = &change {
        say(&format!("job {name} is deleted; {fate}"));
    }
    session.show_change(change.map(|()| Deleted { deleted: name, open_executions }), DELETED)
}

async fn count_open(at: &TenantContext, job: &Job) -> Result<i64, Failure> {
    at.store.count_open(job.id).await.map_err(|error| at.failed(error))
}
