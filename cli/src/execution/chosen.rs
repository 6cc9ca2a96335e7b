//! `polychron execution cancel` and `polychron execution retry`: one execution, or all that a
//! filter names, at one tenant or at all.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clap::Args;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::ExecutionFilter;

use super::COLUMNS;
use crate::each_tenant::{FanOut, each};
use crate::input::{Since, confirm, execution_id, since};
use crate::output::{Of, say};
use crate::session::Session;
use operations::context::TenantContext;
use operations::execution as operation;
use operations::failure::Failure;
use operations::format::counted;

/// How many rows are read at once.
const PAGE: i64 = 500;
/// The most executions that one command changes at one tenant.
const CHOSEN_MAX: usize = 10_000;
/// Manual runs are unique by their time; a whole second is moved by a microsecond.
const APART: TimeDelta = TimeDelta::microseconds(2);

/// Which executions.
#[derive(Args)]
pub struct Chosen {
    /// The tenant
    #[arg(required_unless_present = "all_tenants", conflicts_with = "all_tenants")]
    pub(super) tenant: Option<String>,
    /// The execution; without it, all that match --job, --status and --since
    #[arg(value_parser = execution_id)]
    #[arg(conflicts_with_all = ["job", "status", "since", "all_tenants"])]
    pub(super) id: Option<ExecutionId>,
    /// Only executions of this job
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Only executions with this status
    #[arg(long, value_parser = str::parse::<Status>)]
    status: Option<Status>,
    /// Only executions created since this time, or within this duration, such as 2h
    #[arg(long, value_name = "TIME|DURATION", value_parser = since)]
    since: Option<Since>,
    /// At every tenant, continuing past those that fail (exit code 4 then)
    #[arg(long)]
    all_tenants: bool,
    /// Do not ask for confirmation, if there are several
    #[arg(short, long)]
    yes: bool,
}

/// What to do with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Cancel,
    Retry,
}

/// Cancels or retries all that match, once the user has confirmed it.
pub(super) async fn run(action: Action, chosen: Chosen, session: &Session) -> Result<(), Failure> {
    action.may(&chosen)?;
    let mut fan_out = FanOut::begin(session).await?;
    if let Some(slug) = &chosen.tenant {
        // Fails if there is no such tenant.
        session.context.tenant(slug).await?;
        fan_out.keep(|kept| kept == slug);
    }
    let find = async |at: &TenantContext| find(action, &chosen, at).await.map(Some);
    let found = fan_out.ask("reading", find).await;
    let found: BTreeMap<String, Vec<Execution>> =
        found.into_iter().filter(|of| !of.item.is_empty()).map(|of| (of.tenant, of.item)).collect();
    fan_out.keep(|slug| found.contains_key(slug));
    let count: usize = found.values().map(Vec::len).sum();
    let many = counted(count, "execution");
    if session.actor.is_dry_run() {
        say(&format!("{} {many} would be {}: --dry-run", "nothing was changed;", action.done()));
        let rows = each(found.into_iter().map(|(tenant, item)| Of { tenant, item }).collect());
        return fan_out.show(&rows, COLUMNS).await;
    }
    if count > 0 {
        let tenants = counted(found.len(), "tenant");
        confirm(chosen.yes, &format!("{} {many} at {tenants}.", action.doing()))?;
    }
    let make = async |at: &TenantContext| {
        let rows = found.get(&at.tenant.slug).map(Vec::as_slice).unwrap_or_default();
        make(action, rows, at, session).await.map(Some)
    };
    let made = each(fan_out.ask("changing", make).await);
    fan_out.show(&made, COLUMNS).await
}

impl Action {
    fn doing(self) -> &'static str {
        match self {
            Action::Cancel => "Cancelling",
            Action::Retry => "Running again",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Action::Cancel => "cancelled",
            Action::Retry => "run again",
        }
    }

    /// Rejects filters that make no sense.
    fn may(self, chosen: &Chosen) -> Result<(), Failure> {
        let Chosen { job, status, since, .. } = chosen;
        if job.is_none() && status.is_none() && since.is_none() {
            let text = "name an execution by its ID, or several by --job, --status and --since";
            return Err(Failure::Usage(text.to_owned()));
        }
        let refused = match (self, *status, *since) {
            (Action::Cancel, Some(status), _) if status.is_final() => {
                format!("--status: what is {status} is over and cannot be cancelled")
            }
            (Action::Retry, Some(status), _) if !status.is_final() => {
                format!("--status: what is {status} is not over and cannot be run again")
            }
            (Action::Retry, _, None) => {
                "--since: say how far back, such as `--since 2h`; without it the whole history \
                 would be run again"
                    .to_owned()
            }
            _ => return Ok(()),
        };
        Err(Failure::Usage(refused))
    }
}

/// The matching executions of a tenant, oldest first.
async fn find(
    action: Action,
    chosen: &Chosen,
    at: &TenantContext,
) -> Result<Vec<Execution>, Failure> {
    let Chosen { job, status, since, .. } = chosen;
    let since = since.map(|since| ExecutionId::least_at(since.from(at.now.time())));
    let status = match action {
        Action::Cancel => *status,
        Action::Retry => Some(status.unwrap_or(Status::Failed)),
    };
    let mut filter = ExecutionFilter { before: None, job: job.clone(), status };
    let mut found: Vec<Execution> = Vec::new();
    loop {
        let (rows, next) = page(action, &filter, at).await?;
        for row in rows.into_iter().filter(|row| since.is_none_or(|since| row.id >= since)) {
            if action == Action::Cancel || is_last(&row, at).await? {
                found.push(row);
            }
        }
        if found.len() > CHOSEN_MAX {
            return Err(Failure::Usage(format!(
                "more than {CHOSEN_MAX} executions; narrow it by --job, --status or --since"
            )));
        }
        match next.filter(|next| since.is_none_or(|since| *next >= since)) {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    found.sort_by_key(|row| row.id);
    Ok(found)
}

async fn page(
    action: Action,
    filter: &ExecutionFilter,
    at: &TenantContext,
) -> Result<(Vec<Execution>, Option<ExecutionId>), Failure> {
    if action == Action::Retry {
        let page = at.store.page_executions(filter, PAGE).await;
        return page.map(|page| (page.executions, page.next)).map_err(|error| at.failed(error));
    }
    let rows = at.store.list_open(filter, PAGE).await.map_err(|error| at.failed(error))?;
    let is_full = rows.len() as i64 == PAGE;
    let next = rows.last().filter(|_| is_full).map(|row| row.id);
    Ok((rows, next))
}

/// Whether this was the occurrence's last attempt, and its job still exists. An attempt that another
/// followed has been retried already.
async fn is_last(row: &Execution, at: &TenantContext) -> Result<bool, Failure> {
    let last = at.store.find_last_attempt(row.id).await.map_err(|error| at.failed(error))?;
    Ok(row.job_name.is_some() && last.is_some_and(|last| last.id == row.id))
}

async fn make(
    action: Action,
    rows: &[Execution],
    at: &TenantContext,
    session: &Session,
) -> Result<Vec<Execution>, Failure> {
    let Session { context, actor, .. } = session;
    let mut made = Vec::with_capacity(rows.len());
    let mut now = at.now;
    for row in rows {
        let here = TenantContext { now, ..at.clone() };
        now = now + APART;
        let done = match action {
            Action::Cancel => operation::cancel(context, actor, &here, row.id).await,
            Action::Retry => operation::retry(context, actor, &here, row.id).await,
        };
        match done {
            Ok(change) => made.extend(change.made()),
            // It changed meanwhile, which does not concern the others.
            Err(failure @ (Failure::Conflict(_) | Failure::NotFound(_))) => {
                say(&format!("{}: {failure}", at.tenant.slug));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(made)
}
