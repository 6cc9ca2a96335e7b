//! Polls one tenant: rescues, arms, replans, dispatches, sweeps, checks for lateness and prunes. It gathers facts
//! and decides no times; `next_poll.rs` does.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{ChangeToken, DbTime, Result, StoreError, chain};
use shared::tenants::OpenTenant;
use tracing::warn;

use crate::capacity::QueueCapacity;
use crate::dispatcher::{Dispatcher, Remaining};
use crate::lateness::Lateness;
use crate::messenger::Messenger;
use crate::next_poll::{NextPoll, PollResult, SkipIf};
use crate::poll_facts::PollFacts;
use crate::poll_interval::PollIntervals;
use crate::pruner::Pruner;
use crate::replanner::Replanner;
use crate::rescuer;
use crate::sweeper::{SweepScope, Sweeper};

/// For how long a summary may be reused: to count what is open may mean to read thousands of rows.
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
    /// Works out anew next times that are wrong.
    pub replanner: Replanner,
    /// Makes ids, and spreads what must not come together.
    pub random: Random,
    /// How often tenants at rest are polled.
    pub intervals: PollIntervals,
    /// Counts what is done.
    pub metrics: Metrics,
}

impl TenantPoller {
    /// Polls a tenant, unless that is unnecessary, and records the health of its database.
    pub async fn poll(
        &self,
        tenant: &Arc<OpenTenant>,
        plan: NextPoll,
        scope: SweepScope,
    ) -> PollResult {
        let started = self.clock.boot_time();
        match self.try_poll(tenant, plan, scope).await {
            Ok(result) => {
                tenant.health.succeeded(tenant.slug(), self.clock.boot_time() - started);
                result
            }
            Err(StoreError::Conflict(error)) => {
                let reason = tenant.store.why_blocked(&StoreError::Conflict(error)).await;
                tenant.health.blocked(tenant.slug(), reason);
                PollResult::Failed(tenant.health.breaker_open_for())
            }
            Err(error @ StoreError::Refused(_)) => {
                warn!(tenant = tenant.slug(), "the poll failed: {}", chain(&error));
                PollResult::Refused
            }
            Err(error) => {
                tenant.health.failed(tenant.slug(), &error);
                PollResult::Failed(tenant.health.breaker_open_for())
            }
        }
    }

    async fn try_poll(
        &self,
        tenant: &Arc<OpenTenant>,
        plan: NextPoll,
        scope: SweepScope,
    ) -> Result<PollResult> {
        if let Some(skipped) = self.skip(tenant, plan.skip_if).await {
            return Ok(skipped);
        }
        let boot_time = self.clock.boot_time();
        let reuse = plan.reuse.filter(|facts| boot_time - facts.read_at < REUSE_FOR);
        self.metrics.polls.inc_by(reuse.is_none().into());
        let began_at = self.now(tenant).await?;
        // Taken before the poll, so that the next probe sees whatever changes meanwhile.
        let change_token = self.probe(tenant).await;
        let mut facts = self.pass(tenant, reuse, scope, began_at).await?;
        let has_more = !matches!(facts.remaining, Remaining::QueuesFull | Remaining::Nothing);
        if has_more && self.intervals.of(tenant).trust.is_some() {
            // At an overloaded server, the next poll would take another connection; this one is still open.
            let began_at = self.now(tenant).await?;
            facts = self.pass(tenant, None, SweepScope::Overdue, began_at).await?;
        }
        facts.change_token = change_token;
        let due_in = facts.next_event().map(|event| tenant.store.until(event));
        if facts.is_at_rest() && due_in.is_none_or(|due_in| due_in > CLOSED_IF_UNNEEDED_FOR) {
            tenant.store.close_idle();
        }
        Ok(PollResult::Polled(Box::new(facts)))
    }

    /// The tenant's time, and this machine's boot time at the same moment.
    async fn now(&self, tenant: &OpenTenant) -> Result<(DbTime, BootTime)> {
        let now = tenant.store.now().await?;
        Ok((now, self.clock.boot_time()))
    }

    /// Skips the poll if it is unnecessary. The tenant's database is not opened to find out.
    async fn skip(&self, tenant: &OpenTenant, plan: Option<SkipIf>) -> Option<PollResult> {
        let (now, until) = (self.clock.boot_time(), |time| tenant.store.until(time));
        let skip_if = plan.filter(|skip_if| skip_if.may_skip(now, until))?;
        if self.replanner.wants_poll(tenant, now) {
            return None;
        }
        let skips = match &skip_if {
            SkipIf::QueuesFull { .. } => self.capacity.reserve(u32::MAX).await.total() == 0,
            SkipIf::Unchanged { token, .. } => {
                let is_unchanged = self.probe(tenant).await.as_ref() == Some(token);
                self.metrics.polls_skipped.inc_by(is_unchanged.into());
                is_unchanged
            }
        };
        skips.then_some(PollResult::Skipped(skip_if))
    }

    /// Reads the tenant's change token, where change probes are used.
    async fn probe(&self, tenant: &OpenTenant) -> Option<ChangeToken> {
        self.intervals.of(tenant).probe?;
        let token = tenant.store.change_token().await;
        self.intervals.record_probe(tenant, token.is_some());
        token
    }

    /// Does at a tenant what there is to do, by the summary `reuse` or by a new one.
    async fn pass(
        &self,
        tenant: &Arc<OpenTenant>,
        reuse: Option<Box<PollFacts>>,
        scope: SweepScope,
        began_at: (DbTime, BootTime),
    ) -> Result<PollFacts> {
        let (now, _) = began_at;
        let TenantPoller { capacity, messenger, random, metrics, .. } = self;
        let (summary, read_at, mut remaining) = match reuse {
            Some(facts) => (facts.summary, facts.read_at, Remaining::Unknown),
            None => (tenant.store.poll().await?, self.clock.boot_time(), Remaining::Nothing),
        };
        remaining = remaining.max(rescuer::rescue(tenant, &summary, now, random, metrics).await?);
        let (is_active, mut prune_at) = (tenant.is_active(), None);
        if is_active {
            let dispatcher = Dispatcher { tenant, capacity, messenger, random, now, metrics };
            remaining = remaining.max(dispatcher.arm(&summary).await?);
            // Before dispatching: a time that is wrong must not be used.
            remaining = remaining.max(self.replanner.step(tenant, &summary, began_at).await?);
            remaining = remaining.max(dispatcher.dispatch(&summary).await?);
            let sweeper = Sweeper { capacity, messenger, metrics };
            remaining = remaining.max(sweeper.sweep(tenant, &summary, scope, now).await?);
            // Executions that a suspension held up are given time to start.
            if scope == SweepScope::Overdue {
                remaining = remaining.max(self.lateness.check(tenant, &summary, now).await?);
            }
            // Pruning waits until the tenant need not be polled again at once.
            if matches!(remaining, Remaining::Nothing | Remaining::QueuesFull | Remaining::Burst) {
                self.pruner.step(tenant, now).await?;
                prune_at = self.pruner.next_at(tenant.tenant.id);
            }
        }
        let (began_at, change_token) = (now, None);
        Ok(PollFacts { began_at, summary, read_at, remaining, is_active, prune_at, change_token })
    }
}
