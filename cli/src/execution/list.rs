//! `polychron execution list`.

use clap::Args;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::ExecutionFilter;

use super::{COLUMNS, follow};
use crate::each_tenant::{FanOut, Tenants, each};
use crate::input::execution_id;
use crate::output::{Of, say};
use crate::session::Session;
use operations::context::TenantContext;
use operations::failure::Failure;

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    tenants: Tenants,
    /// Only those of this job
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Only those of this status: scheduled, dispatched, running, success, failed, cancelled, skipped
    #[arg(long, value_parser = str::parse::<Status>)]
    status: Option<Status>,
    /// Only those older than this one, for the next page
    #[arg(long, value_name = "ID", value_parser = execution_id, conflicts_with = "follow")]
    before: Option<ExecutionId>,
    /// How many at most; --follow adds more
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// Continue with a line for each new execution and each change of status, until interrupted
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn run(arguments: List, session: &Session) -> Result<(), Failure> {
    let List { tenants, job, status, before, limit, follow } = arguments;
    let filter = ExecutionFilter { before, job, status };
    match (tenants.one(), follow) {
        (slug, true) => follow::run(slug, filter, limit, session).await,
        (None, false) => of_all(&filter, limit, session).await,
        (Some(slug), false) => {
            let at = session.context.enter(slug).await?;
            let page = operations::execution::page(&at, &filter, limit).await?;
            session.output.list(&page.executions, COLUMNS)?;
            mention(page.next);
            Ok(())
        }
    }
}

/// The newest executions of all tenants. It is not an error if only some have the job.
async fn of_all(filter: &ExecutionFilter, limit: i64, session: &Session) -> Result<(), Failure> {
    if filter.job.is_some() && filter.before.is_some() {
        // A job's executions are ordered by occurrence, so one tenant's id is not a position in another's.
        let text = "--before: name one tenant to page through the executions of a job";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut fan_out = FanOut::begin(session).await?;
    let page = async |at: &TenantContext| {
        let page = at.store.page_executions(filter, limit).await;
        page.map(Some).map_err(|error| at.failed(error))
    };
    let pages = fan_out.ask("listing", page).await;
    // Rows are cut off where the first page ends, since older rows of its tenant are missing.
    let is_by_id = filter.job.is_none();
    let reached = pages.iter().filter_map(|of| of.item.next).max().filter(|_| is_by_id);
    let of_page = |Of { tenant, item }| Of { tenant, item: executions(item) };
    let mut rows = each(pages.into_iter().map(of_page).collect());
    rows.retain(|of| reached.is_none_or(|reached| of.item.id >= reached));
    rows.sort_by_key(|of| std::cmp::Reverse(of.item.id));
    let more = is_by_id && rows.len() as i64 > limit;
    rows.truncate(limit.unsigned_abs() as usize);
    let next = if more { rows.last().map(|of| of.item.id) } else { reached };
    fan_out.show(&rows, COLUMNS).await?;
    mention(next);
    Ok(())
}

fn executions(page: shared::store::Page) -> Vec<Execution> {
    page.executions
}

fn mention(next: Option<ExecutionId>) {
    if let Some(next) = next {
        say(&format!("older ones: --before {next}"));
    }
}
