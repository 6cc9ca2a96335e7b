//! `polychron job edit`: a patch of the named fields.

use clap::Args;
use shared::job::Job;
use shared::schedule::Spread;
use shared::store::JobEdit;

use super::definition::{Definition, Timing};
use super::everywhere::{self, Question};
use super::{COLUMNS, FIELDS};
use crate::each_tenant::Jobs;
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::find;

#[derive(Args)]
pub struct Edit {
    #[command(flatten)]
    jobs: Jobs,
    /// The job type, which selects the handler
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    #[command(flatten)]
    timing: Timing,
    #[command(flatten)]
    definition: Definition,
    /// Only if the job is still at this version
    #[arg(long, value_name = "N", conflicts_with = "all_tenants")]
    if_version: Option<i32>,
    /// Do not ask for confirmation, with --all-tenants
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(arguments: Edit, session: &Session) -> Result<(), Failure> {
    let Edit { jobs, job_type, timing, definition, if_version, yes } = arguments;
    let edit = JobEdit { job_type, ..definition.edit()? };
    let (tenant, name) = jobs.named();
    let Some(slug) = tenant else {
        let edited =
            async |at: &TenantContext| write(at, &name, None, &edit, &timing, session).await;
        let question = Question { doing: "Editing", name: &name, yes };
        return everywhere::change(question, session, |_| true, edited, COLUMNS).await;
    };
    let at = session.context.enter(&slug).await?;
    let edited = write(&at, &name, if_version, &edit, &timing, session).await;
    let edited = edited.map_err(|failure| match failure {
        Failure::Stale(text) => Failure::Stale(format!("--if-version: {text}")),
        other => other,
    });
    session.show_change(edited?, FIELDS)
}

async fn write(
    at: &TenantContext,
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
    timing: &Timing,
    session: &Session,
) -> Result<Change<Job>, Failure> {
    let Session { context, actor, .. } = session;
    let found = find(at, name).await?;
    let schedule = timing.schedule(Spread::new(at.tenant.id, found.id))?;
    let edit = JobEdit { schedule, ..edit.clone() };
    if edit == JobEdit::default() {
        return Err(Failure::Usage(
            "nothing to change; `polychron job edit --help` shows what can be".to_owned(),
        ));
    }
    operations::job::edit(context, actor, at, name, if_version, &edit).await
}
