//! The producer's loop: polls each tenant of its partition when the tenant's timer fires or a wake names
//! it, and at least every poll interval; never twice at the same time.
//!
//! Concurrency is limited. A slow poll gives its permit back early, and tenants whose database is ailing
//! have permits of their own, so that others do not wait behind a database that is away or slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::BootTime;
use shared::id::TenantId;
use shared::liveness::{PING_EVERY, Watchdog};
use shared::queue::{Wake, Wakes};
use shared::schedule::ZoneRules;
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::next_poll::{self, NextPoll, PollResult, SkipIf, Terms};
use crate::partition::Partition;
use crate::sweeper::SweepScope;
use crate::tenant_poll::TenantPoller;
use crate::timer_queue::TimerQueue;

/// The most concurrent polls of healthy tenants, and as many of ailing ones.
const POLLS_MAX: usize = 16;
/// A poll that takes longer than this gives its permit back.
const SLOW_AFTER: Duration = Duration::from_millis(500);
/// Wakes have a tenant polled this often at most: a flood of them must not take others' polls.
const WAKES_EVERY: Duration = Duration::from_millis(25);
/// How often a due poll without a permit is tried again: one may come back without a poll having ended.
const PERMIT_WAIT: Duration = Duration::from_millis(50);

/// A tenant that this producer watches.
#[derive(Default)]
struct Watched {
    /// None: the tenant is no longer in the partition, and its record is kept until its poll has ended.
    tenant: Option<Arc<OpenTenant>>,
    in_flight: Option<task::Id>,
    next: NextPoll,
    /// Whether a wake for it came since its last poll was started.
    woken: bool,
    /// From when on a wake has it polled.
    wake_at: BootTime,
    /// Whether it is polled next because all tenants are, at once.
    in_herd: bool,
    /// Whether it was suspended at its last poll.
    was_suspended: bool,
}

/// Starts polls and plans the next ones.
pub(crate) struct PollLoop {
    tenants: Arc<Tenants>,
    poller: Arc<TenantPoller>,
    watched: BTreeMap<TenantId, Watched>,
    timers: TimerQueue,
    polls: JoinSet<(TenantId, PollResult)>,
    /// The watched tenants that wait for capacity.
    waiting: BTreeSet<TenantId>,
    /// The list of all tenants that `watched` was updated from.
    listed: Arc<BTreeMap<TenantId, Arc<OpenTenant>>>,
    partitions: watch::Receiver<Partition>,
    /// The time zone rules by which the tenants were polled.
    zone_rules: Arc<ZoneRules>,
    healthy: Arc<Semaphore>,
    ailing: Arc<Semaphore>,
    watchdog: Watchdog,
}

impl PollLoop {
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        poller: Arc<TenantPoller>,
        partitions: watch::Receiver<Partition>,
        watchdog: Watchdog,
    ) -> PollLoop {
        PollLoop {
            tenants,
            poller,
            watched: BTreeMap::new(),
            timers: TimerQueue::default(),
            polls: JoinSet::new(),
            waiting: BTreeSet::new(),
            listed: Arc::default(),
            partitions,
            zone_rules: ZoneRules::current(),
            healthy: Arc::new(Semaphore::new(POLLS_MAX)),
            ailing: Arc::new(Semaphore::new(POLLS_MAX)),
            watchdog,
        }
    }

    /// Polls until `stop`, then waits for the polls in flight. `refreshed` is notified when the list of
    /// tenants has been read; this notifies `membership_changed` when a wake says so.
    pub(crate) async fn run(
        mut self,
        mut wakes: Wakes,
        refreshed: Arc<Notify>,
        membership_changed: Arc<Notify>,
        stop: CancellationToken,
    ) {
        loop {
            self.watchdog.ping();
            self.update_watched();
            let wait = self.start_due_polls().min(PING_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.polls.join_next_with_id() => self.plan_next(ended),
                wake = wakes.next() => match wake {
                    Wake::Tenant(id) => self.wake(id),
                    Wake::All => self.wake_all(),
                    Wake::MembershipChanged => membership_changed.notify_one(),
                },
                () = refreshed.notified() => {}
                Ok(()) = self.partitions.changed() => self.listed = Arc::default(),
                () = self.poller.clock.sleep(wait) => {}
            }
        }
        while self.polls.join_next().await.is_some() {}
    }

    /// Follows the time zone rules, the list of tenants and the partition. New and changed tenants are
    /// polled at once, and after a change of rules all are.
    fn update_watched(&mut self) {
        let rules = ZoneRules::current();
        if !Arc::ptr_eq(&rules, &self.zone_rules) {
            self.zone_rules = rules;
            self.wake_all();
        }
        let listed = self.tenants.all();
        if Arc::ptr_eq(&listed, &self.listed) {
            return;
        }
        let partition = self.partitions.borrow_and_update().clone();
        let is_ours = |id: &TenantId| listed.contains_key(id) && partition.contains(*id);
        self.waiting.retain(is_ours);
        self.watched.retain(|id, watched| {
            watched.tenant.take_if(|_| !is_ours(id));
            watched.tenant.is_some() || watched.in_flight.is_some()
        });
        for (id, tenant) in listed.iter().filter(|(id, _)| is_ours(id)) {
            let watched = self.watched.entry(*id).or_default();
            if !watched.tenant.as_ref().is_some_and(|known| Arc::ptr_eq(known, tenant)) {
                watched.tenant = Some(tenant.clone());
                watched.in_herd = true;
                self.wake(*id);
            }
        }
        self.poller.intervals.count(listed.values().map(Arc::as_ref));
        let ours = self.watched.values().filter(|watched| watched.tenant.is_some());
        self.poller.metrics.tenants_watched.set(ours.count() as i64);
        self.listed = listed;
    }

    fn wake_all(&mut self) {
        self.watched.values_mut().for_each(|watched| watched.in_herd = true);
        let all: Vec<TenantId> = self.watched.keys().copied().collect();
        all.into_iter().for_each(|id| self.wake(id));
    }

    /// Polls a tenant as soon as its poll in flight has ended and `wake_at` allows. A wake may name anyone.
    fn wake(&mut self, id: TenantId) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        watched.woken = true;
        // Whoever sent the wake may know of a change that no change token shows yet.
        watched.next = NextPoll::default();
        if watched.in_flight.is_none() {
            self.timers.set(id, self.poller.clock.boot_time().max(watched.wake_at));
        }
    }

    /// Starts the due polls, as far as there are permits. Returns how long to wait for the next one.
    fn start_due_polls(&mut self) -> Duration {
        let now = self.poller.clock.boot_time();
        while self.healthy.available_permits() > 0
            && let Some(id) = self.timers.pop_due(now)
        {
            let idle = self.watched.get(&id).filter(|watched| watched.in_flight.is_none());
            let Some(tenant) = idle.and_then(|watched| watched.tenant.clone()) else { continue };
            let permits = if tenant.health.is_ailing() { &self.ailing } else { &self.healthy };
            let breaker_open_for = tenant.health.breaker_open_for();
            match permits.clone().try_acquire_owned() {
                Ok(permit) if breaker_open_for.is_zero() => self.start_poll(tenant, permit),
                _ => self.timers.set(id, now + breaker_open_for.max(PERMIT_WAIT)),
            }
        }
        let next_at = self.timers.next_at().unwrap_or(now + PING_EVERY);
        self.poller.metrics.poll_lag.set((now - next_at).as_secs_f64());
        if next_at <= now { PERMIT_WAIT } else { next_at - now }
    }

    fn start_poll(&mut self, tenant: Arc<OpenTenant>, permit: OwnedSemaphorePermit) {
        let id = tenant.tenant.id;
        let watched = self.watched.entry(id).or_default();
        let was_suspended = std::mem::replace(&mut watched.was_suspended, !tenant.is_active());
        let resumed = was_suspended && tenant.is_active();
        let scope = if resumed { SweepScope::All } else { SweepScope::Overdue };
        let (poller, plan) = (self.poller.clone(), std::mem::take(&mut watched.next));
        if std::mem::take(&mut watched.woken) {
            watched.wake_at = poller.clock.boot_time() + WAKES_EVERY;
        }
        let task = self.polls.spawn(async move {
            let mut poll = std::pin::pin!(poller.poll(&tenant, plan, scope));
            let result = tokio::select! {
                biased;
                result = &mut poll => result,
                () = poller.clock.sleep(SLOW_AFTER) => { drop(permit); poll.await }
            };
            (id, result)
        });
        watched.in_flight = Some(task.id());
    }

    /// Records how a poll has ended, and sets the timer of the tenant's next one.
    fn plan_next(&mut self, ended: Result<(task::Id, (TenantId, PollResult)), JoinError>) {
        let (id, result) = match ended {
            Ok((_, ended)) => ended,
            Err(panic) => {
                let task = Some(panic.id()); // says whose poll it was
                let polled = self.watched.iter().find(|(_, watched)| watched.in_flight == task);
                let Some((id, watched)) = polled else { return };
                let tenant = watched.tenant.as_ref().map(|tenant| tenant.slug());
                warn!(tenant, "a poll panicked: {panic}");
                (*id, PollResult::Panicked)
            }
        };
        let Some(watched) = self.watched.get_mut(&id) else { return };
        watched.in_flight = None;
        let Some(tenant) = &watched.tenant else {
            self.watched.remove(&id);
            return;
        };
        self.waiting.remove(&id);
        let now = self.poller.clock.boot_time();
        let terms = Terms {
            now,
            until: &|time| tenant.store.until(time),
            intervals: self.poller.intervals.of(tenant),
            pauses: self.poller.capacity.pauses(),
            waiting_tenants: 1 + self.waiting.len() as u32,
            woken: watched.woken.then(|| watched.wake_at - now),
            in_herd: std::mem::take(&mut watched.in_herd),
            jitter: self.poller.random.unit(),
        };
        watched.next = next_poll::next(result, &terms);
        if matches!(watched.next.skip_if, Some(SkipIf::QueuesFull { .. })) {
            self.waiting.insert(id);
        }
        self.timers.set(id, now + watched.next.wait);
    }
}

#[cfg(test)]
mod tests;
