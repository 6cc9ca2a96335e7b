//! `polychron job delete`.

use clap::Args;
use serde::Serialize;
use shared::job::Job;

use super::everywhere::{self, Question};
use crate::each_tenant::Jobs;
use crate::exit::Failure;
use crate::input::confirm;
use crate::operation;
use crate::operation::job::find;
use crate::operator::Entered;
use crate::output::{Column, column, say};
use crate::session::Session;

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    jobs: Jobs,
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
    let Delete { jobs, yes } = arguments;
    let (tenant, name) = jobs.named();
    let Session { operator, asker, output } = session;
    let Some(slug) = tenant else {
        let question = Question { doing: "Deleting", name: &name, yes };
        let delete = async |at: &Entered| {
            let job = find(at, &name).await?;
            let open_executions = count_open(at, &job).await?;
            operation::job::delete(operator, asker, at, &job).await?;
            Ok(Deleted { deleted: name.clone(), open_executions })
        };
        return everywhere::change(question, session, |_| true, delete, DELETED).await;
    };
    let at = operator.enter(&slug).await?;
    let job = find(&at, &name).await?;
    let open_executions = count_open(&at, &job).await?;
    let fate = format!("its open executions ({open_executions}) are cancelled, its history stays");
    if !asker.rehearses() {
        confirm(yes, &format!("Deleting job {name} of tenant {}: {fate}.", at.tenant.slug))?;
    }
    operation::job::delete(operator, asker, &at, &job).await?;
    say(&format!("job {name} is deleted; {fate}"));
    output.record(&Deleted { deleted: name, open_executions }, DELETED)
}

async fn count_open(at: &Entered, job: &Job) -> Result<i64, Failure> {
    at.store.count_open(job.id).await.map_err(|error| at.failed(error))
}
