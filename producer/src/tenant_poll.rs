//! Polls one tenant: rescues, arms, dispatches, sweeps, checks for lateness and prunes. It gathers facts
//! and decides no times; `next_poll.rs` does.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, delta};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{ChangeToken, DbTime, PollSummary, Result, StoreError, chain};
use shared::tenants::OpenTenant;
use tracing::warn;

use crate::capacity::{Demand, QueueCapacity};
use crate::dispatcher::{Dispatcher, Remaining};
use crate::lateness::Lateness;
use crate::messenger::Messenger;
use crate::next_poll::{NextPoll, PollResult, SkipIf};
use crate::poll_facts::{PollFacts, ReadSummary};
use crate::poll_interval::PollIntervals;
use crate::pruner::Pruner;
use crate::rescuer;
use crate::sweeper::{self, SweepScope, Sweeper};

/// For how long the summary of a poll may be reused while full batches are dispatched: to count what is
/// open may mean to read thousands of rows.
const REUSE_FOR: Duration = Duration::from_millis(250);
/// A connection that is not needed for this long is closed at once.
const CLOSED_IF_UNNEEDED_FOR: Duration = Duration::from_secs(30);

/// Polls tenants.
pub struct TenantPoller {
    /// The clock of everything here.
    pub clock: Clock,
    /// Limits how much is published.
    pub capacity: QueueCapacity,
    /// Publishes the messages.
    pub messenger: Messenger,
    /// Detects late jobs.
    pub lateness: Lateness,
    /// Removes old history.
    pub pruner: Pruner,
    /// Makes ids, and spreads what must not come together.
    pub random: Random,
    /// How often tenants at rest are polled.
    pub intervals: PollIntervals,
    /// Counts what is done.
    pub metrics: Metrics,
}

/// One poll of one tenant.
pub struct PollRequest {
    /// The tenant.
    pub tenant: Arc<OpenTenant>,
    /// What was planned when its last poll had ended.
    pub plan: NextPoll,
    /// Whether the tenant was suspended at its last poll, and is active now.
    pub resumed: bool,
    /// How many tenants wait for capacity.
    pub waiting_tenants: usize,
}

impl TenantPoller {
    /// Polls a tenant unless that is unnecessary, and records the health of its database.
    pub async fn poll(&self, request: PollRequest) -> PollResult {
        let (tenant, started) = (request.tenant.clone(), self.clock.boot_time());
        let error = match self.try_poll(request).await {
            Ok(result) => {
                tenant.health.succeeded(tenant.slug(), self.clock.boot_time() - started);
                return result;
            }
            Err(error) => error,
        };
        tenant.health.failed(tenant.slug(), &error);
        if matches!(error, StoreError::Refused(_) | StoreError::Conflict(_)) {
            warn!(tenant = tenant.slug(), "the poll failed: {}", chain(&error));
            return PollResult::Refused;
        }
        PollResult::Failed(tenant.health.breaker_open_for())
    }

    async fn try_poll(&self, mut request: PollRequest) -> Result<PollResult> {
        let NextPoll { skip_if, reuse, .. } = std::mem::take(&mut request.plan);
        let due_in = match skip_if {
            SkipIf::Unchanged { until, .. } => until.map(|at| request.tenant.store.until(at)),
            SkipIf::Never | SkipIf::QueuesFull { .. } => None,
        };
        if self.can_skip(&request, &skip_if, due_in).await {
            return Ok(PollResult::Skipped(skip_if, due_in));
        }
        let reuse = reuse.filter(|read| self.clock.boot_time() - read.read_at < REUSE_FOR);
        if reuse.is_none() {
            self.metrics.polls.inc();
        }
        let tenant = &request.tenant;
        let is_overloaded = self.intervals.of(tenant).trust.is_some();
        let now = tenant.store.now().await?;
        // Taken before the poll, so that the next probe sees whatever changes meanwhile.
        let change_token = self.probe(tenant).await;
        if self.intervals.record_probe(tenant, change_token.is_some()) {
            self.metrics.poll_interval.set(self.intervals.longest().as_secs_f64());
        }
        let mut facts = self.pass(&request, reuse, now).await?;
        let has_more = !matches!(facts.remaining, Remaining::QueuesFull | Remaining::Nothing);
        if has_more && is_overloaded {
            // The next poll would take another connection, so it is made on this one.
            let now = tenant.store.now().await?;
            request.resumed = false;
            facts = self.pass(&request, None, now).await?;
        }
        facts.change_token = change_token;
        let needed_soon = facts.next_event().is_some_and(|event| {
            facts.until(event, self.clock.boot_time()) <= CLOSED_IF_UNNEEDED_FOR
        });
        if facts.is_at_rest() && !needed_soon {
            request.tenant.store.close_idle();
        }
        Ok(PollResult::Polled(Box::new(facts)))
    }

    /// Whether the poll is unnecessary. The tenant's database is not opened to find out.
    async fn can_skip(
        &self,
        request: &PollRequest,
        skip_if: &SkipIf,
        due_in: Option<Duration>,
    ) -> bool {
        let &PollRequest { ref tenant, waiting_tenants, .. } = request;
        if !skip_if.may_skip(self.clock.boot_time(), due_in, waiting_tenants) {
            return false;
        }
        match skip_if {
            SkipIf::Never => false,
            SkipIf::Unchanged { token, .. } => {
                let is_unchanged = self.probe(tenant).await.as_ref() == Some(token);
                self.metrics.polls_skipped.inc_by(is_unchanged.into());
                is_unchanged
            }
            SkipIf::QueuesFull { .. } => {
                let demand = Demand { wanted: u32::MAX, waiting_tenants };
                !self.capacity.would_grant(demand).await
            }
        }
    }

    /// Reads the tenant's change token, where change probes are used.
    async fn probe(&self, tenant: &OpenTenant) -> Option<ChangeToken> {
        self.intervals.of(tenant).probe?;
        tenant.store.change_token().await
    }

    /// Does at a tenant what there is to do, by the summary `reuse` or by a new one.
    async fn pass(
        &self,
        request: &PollRequest,
        reuse: Option<ReadSummary>,
        now: DbTime,
    ) -> Result<PollFacts> {
        let (tenant, began_at) = (&request.tenant, (now, self.clock.boot_time()));
        let (read, mut remaining) = match reuse {
            Some(read) => (read, Remaining::Unknown),
            None => {
                let summary = tenant.store.poll().await?;
                (ReadSummary { summary, read_at: self.clock.boot_time() }, Remaining::Nothing)
            }
        };
        let lease_until = read.summary.next_lease_until;
        if lease_until.is_some_and(|until| until < now - delta(rescuer::GRACE))
            && rescuer::rescue(tenant, now, &self.random, &self.metrics).await? > 0
        {
            remaining = Remaining::More;
        }
        let (is_active, mut prune_at) = (tenant.is_active(), None);
        if is_active {
            remaining = remaining.max(self.serve(request, &read.summary, now).await?);
            // Pruning waits until the tenant need not be polled again at once.
            if matches!(remaining, Remaining::Nothing | Remaining::QueuesFull | Remaining::Burst) {
                self.pruner.step(tenant, now).await?;
                prune_at = self.pruner.next_at(tenant.tenant.id);
            }
        }
        Ok(PollFacts { began_at, read, remaining, is_active, prune_at, change_token: None })
    }

    /// Arms, dispatches, sweeps and checks for lateness: what is done for active tenants only.
    async fn serve(
        &self,
        request: &PollRequest,
        summary: &PollSummary,
        now: DbTime,
    ) -> Result<Remaining> {
        let TenantPoller { capacity, messenger, random, metrics, .. } = self;
        let &PollRequest { ref tenant, resumed, waiting_tenants, .. } = request;
        let dispatcher =
            Dispatcher { tenant, capacity, waiting_tenants, messenger, random, now, metrics };
        let mut remaining = Remaining::Nothing;
        if summary.has_unarmed {
            dispatcher.arm().await?;
            remaining = Remaining::More; // an armed job may be due already
        }
        remaining = remaining.max(dispatcher.dispatch(summary).await?);
        let sweep_is_due = sweeper::next_at(summary).is_some_and(|at| at <= now);
        if sweep_is_due || (resumed && summary.dispatched > 0) {
            let scope = if resumed { SweepScope::All } else { SweepScope::Overdue };
            let sweeper = Sweeper { capacity, waiting_tenants, messenger, metrics };
            remaining = remaining.max(sweeper.sweep(tenant, scope, now).await?);
        }
        // Executions that a suspension held up are given time to start.
        if !resumed && self.lateness.check(tenant, summary, now).await? {
            remaining = remaining.max(Remaining::More);
        }
        Ok(remaining)
    }
}
