//! Polls one tenant: rescues, arms, dispatches, sweeps, checks for lateness and prunes. It gathers facts
//! and decides no times; `next_poll.rs` does.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, delta};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::store::{ChangeToken, Result, StoreError, chain};
use shared::tenants::OpenTenant;
use tracing::warn;

use crate::capacity::{Demand, Pauses, QueueCapacity};
use crate::dispatcher::{DispatchOutcome, Dispatcher};
use crate::lateness::Lateness;
use crate::messenger::Messenger;
use crate::next_poll::{NextPoll, SkipIf, polls_although_full};
use crate::poll_interval::PollIntervals;
use crate::poll_result::{Moment, PollFacts, PollResult, ReadSummary, Remaining};
use crate::pruner::Pruner;
use crate::rescuer;
use crate::sweeper::{self, SweepOutcome, SweepScope, Sweeper};

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
        let result = self.try_poll(request).await;
        match &result {
            Ok(_) => tenant.health.succeeded(tenant.slug(), self.clock.boot_time() - started),
            Err(error) => tenant.health.failed(tenant.slug(), error),
        }
        result.unwrap_or_else(|error| match error {
            StoreError::Refused(_) | StoreError::Conflict(_) => {
                warn!(tenant = tenant.slug(), "the poll failed: {}", chain(&error));
                PollResult::Refused
            }
            _ => PollResult::Failed(tenant.health.breaker_open_for()),
        })
    }

    async fn try_poll(&self, mut request: PollRequest) -> Result<PollResult> {
        let NextPoll { skip_if, reuse, .. } = std::mem::take(&mut request.plan);
        if let Some(skipped) = self.skip(&request, skip_if).await {
            return Ok(skipped);
        }
        let tenant = &request.tenant;
        let reuse = reuse.filter(|read| self.clock.boot_time() - read.read_at < REUSE_FOR);
        if reuse.is_none() {
            self.metrics.polls.inc();
        }
        let now = self.moment(tenant).await?;
        // Taken before the poll, so that the next probe sees whatever changes meanwhile.
        let change_token = self.probe(tenant).await;
        if self.intervals.record_probe(tenant, change_token.is_some()) {
            self.metrics.poll_interval.set(self.intervals.longest().as_secs_f64());
        }
        let mut facts = self.pass(&request, reuse, now).await?;
        let has_more = !matches!(facts.remaining(), Remaining::QueuesFull | Remaining::Nothing);
        if has_more && self.intervals.is_overloaded(tenant) {
            // The next poll would take another connection, so it is made on this one.
            request.resumed = false;
            let now = self.moment(&request.tenant).await?;
            facts = self.pass(&request, None, now).await?;
        }
        facts.change_token = change_token;
        let due_in = facts.next_event_in(self.clock.boot_time());
        if facts.is_at_rest() && due_in.is_none_or(|due_in| due_in > CLOSED_IF_UNNEEDED_FOR) {
            request.tenant.store.close_idle();
        }
        Ok(PollResult::Polled(Box::new(facts)))
    }

    /// Skips the poll if it is unnecessary. The tenant's database is not opened for that.
    async fn skip(&self, request: &PollRequest, skip_if: SkipIf) -> Option<PollResult> {
        let tenant = &request.tenant;
        match skip_if {
            SkipIf::Never => None,
            SkipIf::Unchanged(unchanged) => {
                let due_in = unchanged.until.map(|until| tenant.store.until(until));
                if !unchanged.may_skip(self.clock.boot_time(), due_in)
                    || self.probe(tenant).await.as_ref() != Some(&unchanged.token)
                {
                    return None;
                }
                self.metrics.polls_skipped.inc();
                Some(PollResult::Unchanged(unchanged, due_in))
            }
            SkipIf::QueuesFull { since } => {
                let waiting_tenants = request.waiting_tenants;
                let demand = Demand { wanted: u32::MAX, waiting_tenants };
                if polls_although_full(self.clock.boot_time() - since, waiting_tenants)
                    || self.capacity.would_grant(demand).await
                {
                    return None;
                }
                Some(PollResult::QueuesFull(since, self.capacity.pauses()))
            }
        }
    }

    /// Reads the tenant's change token, where change probes are used.
    async fn probe(&self, tenant: &OpenTenant) -> Option<ChangeToken> {
        if self.intervals.uses_probes(tenant) { tenant.store.change_token().await } else { None }
    }

    async fn moment(&self, tenant: &OpenTenant) -> Result<Moment> {
        let db = tenant.store.now().await?;
        Ok(Moment { db, boot: self.clock.boot_time() })
    }

    /// Does at a tenant what there is to do, by the summary `reuse` or by a new one.
    async fn pass(
        &self,
        request: &PollRequest,
        reuse: Option<ReadSummary>,
        now: Moment,
    ) -> Result<PollFacts> {
        let tenant = &request.tenant;
        let read = match reuse {
            Some(read) => read,
            None => {
                ReadSummary { summary: tenant.store.poll().await?, read_at: self.clock.boot_time() }
            }
        };
        let mut facts = PollFacts {
            polled_at: now,
            read,
            is_reused: reuse.is_some(),
            is_active: tenant.is_active(),
            is_limited: tenant.tenant.max_running.is_some(),
            rescued: 0,
            armed: false,
            notified: false,
            dispatch: DispatchOutcome::Nothing,
            sweep: SweepOutcome::Nothing,
            prune_at: None,
            change_token: None,
            pauses: Pauses::default(),
        };
        let lease_until = facts.read.summary.next_lease_until;
        if lease_until.is_some_and(|until| until < now.db - delta(rescuer::GRACE)) {
            facts.rescued = rescuer::rescue(tenant, now.db, &self.random, &self.metrics).await?;
        }
        if facts.is_active {
            self.serve_active(request, &mut facts).await?;
        }
        facts.pauses = self.capacity.pauses();
        Ok(facts)
    }

    /// Does what is done for active tenants only.
    async fn serve_active(&self, request: &PollRequest, facts: &mut PollFacts) -> Result<()> {
        let TenantPoller { capacity, messenger, random, metrics, .. } = self;
        let &PollRequest { ref tenant, resumed, waiting_tenants, .. } = request;
        let (summary, now) = (facts.read.summary, facts.polled_at.db);
        let dispatcher =
            Dispatcher { tenant, capacity, waiting_tenants, messenger, random, now, metrics };
        if summary.unarmed {
            dispatcher.arm().await?;
            facts.armed = true;
        }
        facts.dispatch = dispatcher.dispatch(&summary).await?;
        let sweeper = Sweeper { capacity, waiting_tenants, messenger, metrics };
        if resumed && summary.dispatched > 0 {
            facts.sweep = sweeper.sweep(tenant, SweepScope::All, now).await?;
        } else if sweeper::next_at(&summary).is_some_and(|at| at <= now) {
            facts.sweep = sweeper.sweep(tenant, SweepScope::Overdue, now).await?;
        }
        // Executions that a suspension held up are given time to start.
        if !resumed {
            facts.notified = self.lateness.check(tenant, &summary, now).await?;
        }
        // Pruning waits until the tenant need not be polled again at once.
        let is_urgent = matches!(
            facts.remaining(),
            Remaining::FullBatches | Remaining::More | Remaining::Unknown
        );
        if !is_urgent {
            self.pruner.step(tenant, now).await?;
            facts.prune_at = self.pruner.next_at(tenant.tenant.id);
        }
        Ok(())
    }
}
