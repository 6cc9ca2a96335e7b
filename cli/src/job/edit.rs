//! `polychron job edit`: a patch of the named fields.

use clap::Args;
use shared::schedule::Patch;
use shared::store::JobEdit;

use super::FIELDS;
use super::definition::{Definition, Timing};
use super::everywhere::{self, Question};
use crate::each_tenant::Jobs;
use crate::output::{Column, column, maybe, say, time, whole_column};
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::{state, timing};
use operations::schedule_change::Edited;

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

const COLUMNS: &[Column<Edited>] = &[
    column("NAME", |edited| edited.job.name.clone()),
    column("TYPE", |edited| edited.job.job_type.clone()),
    column("SCHEDULE", |edited| timing(&edited.job.schedule)),
    column("QUEUE", |edited| edited.job.queue.clone()),
    column("STATE", |edited| state(&edited.job).to_owned()),
    column("NEXT BEFORE", |edited| {
        let change = edited.schedule_change.as_ref();
        time(change.and_then(|change| change.before.as_ref()?.next))
    }),
    column("NEXT RUN", |edited| match &edited.schedule_change {
        Some(change) => time(change.after.next),
        None => time(edited.job.next_run_at),
    }),
    whole_column("REASON", |edited| maybe(edited.job.quarantined_reason.as_ref())),
];

pub(super) async fn run(arguments: Edit, session: &Session) -> Result<(), Failure> {
    let Edit { jobs, job_type, timing, definition, if_version, yes } = arguments;
    let edit = JobEdit { job_type, ..definition.edit()? };
    let patch = timing.patch()?;
    if edit == JobEdit::default() && patch.is_none() {
        return Err(Failure::Usage(
            "nothing to change; `polychron job edit --help` shows what can be".to_owned(),
        ));
    }
    let (tenant, name) = jobs.named();
    let Some(slug) = tenant else {
        let edited =
            async |at: &TenantContext| write(at, &name, None, &edit, patch.as_ref(), session).await;
        let question = Question { doing: "Editing", name: &name, yes };
        return everywhere::change(question, session, |_| true, edited, COLUMNS).await;
    };
    let at = session.context.enter(&slug).await?;
    let edited = write(&at, &name, if_version, &edit, patch.as_ref(), session).await;
    let edited = edited.map_err(|failure| match failure {
        Failure::Stale(text) if if_version.is_some() => {
            Failure::Stale(format!("--if-version: {text}"))
        }
        other => other,
    });
    match edited? {
        Change::Made(edited) if session.output.is_for_people() => {
            if let Some(change) = &edited.schedule_change {
                change.to_string().lines().for_each(say);
            }
            session.output.record(&edited.job, FIELDS)
        }
        change => session.show_change(change, COLUMNS),
    }
}

async fn write(
    at: &TenantContext,
    name: &str,
    if_version: Option<i32>,
    edit: &JobEdit,
    patch: Option<&Patch>,
    session: &Session,
) -> Result<Change<Edited>, Failure> {
    let Session { context, actor, .. } = session;
    operations::job::patch(context, actor, at, name, if_version, edit, patch).await
}
