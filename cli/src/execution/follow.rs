//! `polychron execution list --follow`: shows each new execution and each change of status, until
//! interrupted. A tenant whose database becomes unreachable is reported once, and once more when it
//! is back. With --all-tenants, tenants that are added later are followed, too.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shared::execution::Execution;
use shared::id::TenantId;
use shared::shutdown::Shutdown;
use shared::store::ExecutionFilter;
use shared::tenant::Tenant;
use tokio_util::sync::CancellationToken;

use super::COLUMNS;
use crate::output::{Of, Reader, Stream, say};
use crate::session::Session;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::follow::Follower;

/// How often a tenant's rows are read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How much longer the interval is for each tenant, to bound the load of very many.
const LATER_BY: Duration = Duration::from_millis(20);
/// How often the list of tenants is read again.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// How many of the newest rows are read at the start to find the open ones.
const SEEN: i64 = 200;

/// Follows one tenant's executions, or all tenants'.
struct Following<'a> {
    session: &'a Session,
    filter: ExecutionFilter,
    /// How many are shown first.
    limit: i64,
    every: Duration,
    stream: RefCell<Stream<Execution>>,
    /// Cancelled when standard output is closed or fails.
    over: CancellationToken,
}

pub(super) async fn run(
    slug: Option<&str>,
    filter: ExecutionFilter,
    limit: i64,
    session: &Session,
) -> Result<(), Failure> {
    let stream = RefCell::new(Stream::new(session.output, COLUMNS, slug.is_none())?);
    let tenants = match slug {
        Some(slug) => {
            let at = session.context.enter(slug).await?;
            if let Some(job) = &filter.job {
                operations::job::find(&at, job).await?;
            }
            vec![at.tenant]
        }
        None => list(session).await?,
    };
    let shutdown = Shutdown::on_signals()
        .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    let every = READ_EVERY.max(LATER_BY * u32::try_from(tenants.len()).unwrap_or(u32::MAX));
    let over = CancellationToken::new();
    let following = Following { session, filter, limit, every, stream, over };
    tokio::select! {
        () = following.all(tenants, slug.is_none()) => {}
        () = shutdown.drain.cancelled() => {}
        () = following.over.cancelled() => {}
    }
    Ok(())
}

async fn list(session: &Session) -> Result<Vec<Tenant>, Failure> {
    session.context.control.list_tenants().await.map_err(Failure::control)
}

impl Following<'_> {
    /// Follows these tenants, and new ones if these are `all`.
    async fn all(&self, tenants: Vec<Tenant>, all: bool) {
        let mut known: HashSet<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
        let mut followed: FuturesUnordered<_> =
            tenants.into_iter().map(|tenant| self.tenant(tenant)).collect();
        let listed = async || {
            self.session.context.connections.clock().sleep(LIST_EVERY).await;
            // The known tenants are followed meanwhile, and also if listing fails.
            list(self.session).await.unwrap_or_default()
        };
        loop {
            tokio::select! {
                Some(()) = followed.next() => {}
                tenants = listed(), if all => {
                    for tenant in tenants {
                        if known.insert(tenant.id) {
                            followed.push(self.tenant(tenant));
                        }
                    }
                }
                else => return,
            }
        }
    }

    async fn tenant(&self, tenant: Tenant) {
        let (mut follower, mut is_lost) = (None, false);
        loop {
            match self.changed_rows(&tenant, &mut follower).await {
                Ok(rows) => {
                    if std::mem::take(&mut is_lost) {
                        say(&format!("{}: reachable again", tenant.slug));
                    }
                    self.show(&tenant, rows);
                }
                Err(failure) if !is_lost => {
                    is_lost = true;
                    self.session.output.failure(Some(&tenant.slug), &failure);
                    say(&format!("{}: retrying", tenant.slug));
                }
                Err(_) => {}
            }
            self.session.context.connections.clock().sleep(self.every).await;
        }
    }

    /// The rows to show: at first the latest, then those that have changed.
    async fn changed_rows(
        &self,
        tenant: &Tenant,
        follower: &mut Option<Follower>,
    ) -> Result<Vec<Execution>, Failure> {
        if let Some(follower) = follower {
            let mut rows =
                follower.read_changes().await.map_err(|error| Failure::tenant(tenant, error))?;
            rows.retain(|row| self.is_wanted(row));
            return Ok(rows);
        }
        let at = self.session.context.enter_tenant(tenant.clone()).await?;
        let (seen, mut latest) = self.latest(&at).await.map_err(|error| at.failed(error))?;
        *follower = Some(Follower::after(at.store, &seen));
        latest.reverse();
        Ok(latest)
    }

    /// The newest rows, and those that match the filter.
    async fn latest(
        &self,
        at: &TenantContext,
    ) -> shared::store::Result<(Vec<Execution>, Vec<Execution>)> {
        let seen = at.store.list_executions(&ExecutionFilter::default(), SEEN).await?;
        let mut latest = at.store.page_executions(&self.filter, self.limit).await?.executions;
        // Rows created between the two reads are shown by the next call.
        latest.retain(|row| seen.first().is_some_and(|newest| row.id <= newest.id));
        Ok((seen, latest))
    }

    fn is_wanted(&self, row: &Execution) -> bool {
        let ExecutionFilter { job, status, .. } = &self.filter;
        job.as_ref().is_none_or(|job| row.job_name.as_ref() == Some(job))
            && status.is_none_or(|status| row.status == status)
    }

    fn show(&self, tenant: &Tenant, rows: Vec<Execution>) {
        let of_tenant = |item| Of { tenant: tenant.slug.clone(), item };
        match self.stream.borrow_mut().show(rows.into_iter().map(of_tenant).collect()) {
            Ok(Reader::Reads) => {}
            Ok(Reader::Closed) => self.over.cancel(),
            Err(failure) => {
                self.session.output.failure(None, &failure);
                self.over.cancel();
            }
        }
    }
}
