//! The producer's loop: polls each tenant of its partition when the tenant's timer fires or a wake names
//! it, and at least every poll interval; never twice at the same time.
//!
//! Concurrency is limited. A slow poll gives its permit back early, and tenants whose database is ailing
//! have permits of their own, so that others do not wait behind a database that is away or slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shared::id::TenantId;
use shared::liveness::{PING_EVERY, Watchdog};
use shared::queue::{Wake, Wakes};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::next_poll::{self, NextPoll, PollResult, SkipIf, Terms};
use crate::partition::Partition;
use crate::tenant_poll::{PollRequest, TenantPoller};
use crate::timer_queue::TimerQueue;

/// The most concurrent polls of healthy tenants, and of ailing ones.
const HEALTHY_POLLS_MAX: usize = 16;
const AILING_POLLS_MAX: usize = 16;
/// A poll that takes longer than this gives its permit back.
const SLOW_AFTER: Duration = Duration::from_millis(500);

/// A tenant that this producer watches.
#[derive(Default)]
struct Watched {
    /// None: the tenant is no longer in the partition, and its record is kept until its poll has ended.
    tenant: Option<Arc<OpenTenant>>,
    in_flight: Option<InFlight>,
    next: NextPoll,
    /// Whether it is polled next because all tenants are, at once.
    in_herd: bool,
    /// Whether it was suspended at its last poll.
    was_suspended: bool,
}

struct InFlight {
    task: task::Id,
    /// Whether a wake for the tenant came since it was started.
    woken: bool,
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
            healthy: Arc::new(Semaphore::new(HEALTHY_POLLS_MAX)),
            ailing: Arc::new(Semaphore::new(AILING_POLLS_MAX)),
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
                Some(ended) = self.polls.join_next_with_id() => match ended {
                    Ok((_, (id, result))) => self.plan_next(id, result),
                    Err(error) => self.plan_after_panic(&error),
                },
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

    /// Follows the list of tenants and the partition. New and changed tenants are polled at once.
    fn update_watched(&mut self) {
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
            let known = &mut self.watched.entry(*id).or_default().tenant;
            if !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, tenant)) {
                *known = Some(tenant.clone());
                self.wake_in_herd(*id);
            }
        }
        let TenantPoller { intervals, metrics, .. } = &*self.poller;
        intervals.count(listed.values().map(Arc::as_ref));
        let ours = self.watched.values().filter(|watched| watched.tenant.is_some());
        metrics.tenants_watched.set(ours.count() as i64);
        metrics.poll_interval.set(intervals.longest().as_secs_f64());
        self.listed = listed;
    }

    fn wake_all(&mut self) {
        let all: Vec<TenantId> = self.watched.keys().copied().collect();
        all.into_iter().for_each(|id| self.wake_in_herd(id));
    }

    fn wake_in_herd(&mut self, id: TenantId) {
        if let Some(watched) = self.watched.get_mut(&id) {
            watched.in_herd = true;
        }
        self.wake(id);
    }

    /// Polls a tenant at once, or as soon as its poll in flight has ended. The tenant may be any: a wake
    /// is input.
    fn wake(&mut self, id: TenantId) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        if let Some(in_flight) = &mut watched.in_flight {
            in_flight.woken = true;
            return;
        }
        // Whoever sent the wake may know of a change that no change token shows yet.
        watched.next = NextPoll::default();
        self.timers.set_no_later_than(id, self.poller.clock.boot_time());
    }

    /// Starts the polls whose timer has fired, as far as there are permits. Returns how long to wait for
    /// the next one.
    fn start_due_polls(&mut self) -> Duration {
        let mut without_permit = Vec::new();
        let now = self.poller.clock.boot_time();
        while self.healthy.available_permits() + self.ailing.available_permits() > 0
            && let Some(id) = self.timers.pop_due(now)
        {
            let idle = self.watched.get(&id).filter(|watched| watched.in_flight.is_none());
            let Some(tenant) = idle.and_then(|watched| watched.tenant.clone()) else { continue };
            let health = &tenant.health;
            let breaker_open_for = health.breaker_open_for();
            let permits = if health.is_ailing() { &self.ailing } else { &self.healthy };
            if !breaker_open_for.is_zero() {
                self.timers.set(id, now + breaker_open_for);
            } else if let Ok(permit) = permits.clone().try_acquire_owned() {
                self.start_poll(tenant, permit);
            } else {
                without_permit.push(id);
            }
        }
        without_permit.into_iter().for_each(|id| self.timers.set(id, now));
        let next_at = self.timers.next_at().unwrap_or(now + PING_EVERY);
        self.poller.metrics.poll_lag.set((now - next_at).as_secs_f64());
        // What is due by now needs a permit. One comes back within `SLOW_AFTER`, maybe without a poll
        // having ended.
        if next_at <= now { SLOW_AFTER / 10 } else { next_at - now }
    }

    fn start_poll(&mut self, tenant: Arc<OpenTenant>, permit: OwnedSemaphorePermit) {
        let id = tenant.tenant.id;
        let watched = self.watched.entry(id).or_default();
        let is_active = tenant.is_active();
        let was_suspended = std::mem::replace(&mut watched.was_suspended, !is_active);
        let request = PollRequest {
            tenant,
            plan: std::mem::take(&mut watched.next),
            resumed: was_suspended && is_active,
            waiting_tenants: self.waiting.len(),
        };
        let poller = self.poller.clone();
        let task = self.polls.spawn(async move {
            let mut poll = std::pin::pin!(poller.poll(request));
            let result = tokio::select! {
                biased;
                result = &mut poll => result,
                () = poller.clock.sleep(SLOW_AFTER) => {
                    drop(permit);
                    poll.await
                }
            };
            (id, result)
        });
        watched.in_flight = Some(InFlight { task: task.id(), woken: false });
    }

    /// Records how a tenant's poll has ended, and sets the timer of the next one.
    fn plan_next(&mut self, id: TenantId, result: PollResult) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let woken = watched.in_flight.take().is_some_and(|in_flight| in_flight.woken);
        let Some(tenant) = &watched.tenant else {
            self.watched.remove(&id);
            return;
        };
        self.waiting.remove(&id);
        let terms = Terms {
            now: self.poller.clock.boot_time(),
            intervals: self.poller.intervals.of(tenant),
            pauses: self.poller.capacity.pauses(),
            waiting_tenants: 1 + self.waiting.len(),
            woken,
            in_herd: std::mem::take(&mut watched.in_herd),
            jitter: self.poller.random.unit(),
        };
        watched.next = next_poll::next(result, &terms);
        if matches!(watched.next.skip_if, SkipIf::QueuesFull { .. }) {
            self.waiting.insert(id);
        }
        self.timers.set_no_later_than(id, terms.now + watched.next.wait);
    }

    /// The task's id says whose poll it was that panicked.
    fn plan_after_panic(&mut self, error: &JoinError) {
        let task = |watched: &Watched| watched.in_flight.as_ref().map(|in_flight| in_flight.task);
        let found = self.watched.iter().find(|(_, watched)| task(watched) == Some(error.id()));
        let Some((id, watched)) = found else { return };
        let tenant = watched.tenant.as_ref().map(|tenant| tenant.slug());
        warn!(tenant, "a poll panicked: {error}");
        self.plan_next(*id, PollResult::Panicked);
    }
}

#[cfg(test)]
mod tests;
