//! The producer's loop: polls each tenant of its partition when the tenant's timer fires or a wake names
//! it, and at least every poll interval; never twice at the same time.
//!
//! Concurrency is limited. A slow poll gives its permit back early, and tenants whose database is ailing
//! have permits of their own, so that others do not wait behind a database that is away or slow.

use std::collections::BTreeMap;
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

use crate::next_poll::{self, Jitter, NextPoll, Terms};
use crate::partition::Partition;
use crate::poll_result::PollResult;
use crate::tenant_poll::{PollRequest, TenantPoller};
use crate::timer_queue::TimerQueue;

/// The most concurrent polls of healthy tenants, and of ailing ones.
const HEALTHY_POLLS_MAX: usize = 16;
const AILING_POLLS_MAX: usize = 16;
/// A poll that takes longer than this gives its permit back.
const SLOW_AFTER: Duration = Duration::from_millis(500);

/// A tenant that this producer watches.
struct Watched {
    tenant: Arc<OpenTenant>,
    /// Whether the tenant is in the partition. The record of one that is not is kept until its poll
    /// has ended.
    is_ours: bool,
    in_flight: Option<InFlight>,
    next: NextPoll,
    /// Whether it is polled next because all tenants are, at once.
    in_herd: bool,
    waits_for_capacity: bool,
    /// Whether it was suspended at its last poll.
    was_suspended: bool,
}

struct InFlight {
    task: task::Id,
    /// Whether a wake for the tenant came since it was started.
    woken: bool,
}

impl Watched {
    fn new(tenant: Arc<OpenTenant>) -> Watched {
        Watched {
            tenant,
            is_ours: false,
            in_flight: None,
            next: NextPoll::default(),
            in_herd: false,
            waits_for_capacity: false,
            was_suspended: false,
        }
    }
}

/// Starts polls and plans the next ones.
pub(crate) struct PollLoop {
    tenants: Arc<Tenants>,
    poller: Arc<TenantPoller>,
    watched: BTreeMap<TenantId, Watched>,
    timers: TimerQueue,
    polls: JoinSet<(TenantId, PollResult)>,
    /// How many watched tenants wait for capacity.
    waiting_tenants: usize,
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
            waiting_tenants: 0,
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
            let wait = self.start_due_polls().unwrap_or(PING_EVERY).min(PING_EVERY);
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
        let mut changed = Vec::new();
        for (id, tenant) in listed.iter().filter(|(id, _)| is_ours(id)) {
            let watched = self.watched.entry(*id).or_insert_with(|| Watched::new(tenant.clone()));
            if watched.is_ours && Arc::ptr_eq(&watched.tenant, tenant) {
                continue;
            }
            (watched.tenant, watched.is_ours) = (tenant.clone(), true);
            changed.push(*id);
        }
        self.watched.retain(|id, watched| {
            watched.is_ours = watched.is_ours && is_ours(id);
            watched.is_ours || watched.in_flight.is_some()
        });
        let ours = || self.watched.values().filter(|watched| watched.is_ours);
        self.waiting_tenants = ours().filter(|watched| watched.waits_for_capacity).count();
        let TenantPoller { intervals, metrics, .. } = &*self.poller;
        intervals.count(listed.values().map(Arc::as_ref));
        metrics.tenants_watched.set(ours().count() as i64);
        metrics.poll_interval.set(intervals.longest().as_secs_f64());
        self.listed = listed;
        changed.into_iter().for_each(|id| self.wake_in_herd(id));
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

    /// Starts the polls whose timer has fired, as far as there are permits. Returns how long until the
    /// next timer fires; none: there is none.
    fn start_due_polls(&mut self) -> Option<Duration> {
        let mut without_permit = Vec::new();
        let now = self.poller.clock.boot_time();
        while let Some(id) = self.timers.pop_due(now) {
            let Some(watched) = self.watched.get(&id) else { continue };
            if !watched.is_ours || watched.in_flight.is_some() {
                continue;
            }
            let health = &watched.tenant.health;
            let breaker_open_for = health.breaker_open_for();
            if !breaker_open_for.is_zero() {
                self.timers.set(id, now + breaker_open_for);
                continue;
            }
            let permits = if health.is_ailing() { &self.ailing } else { &self.healthy };
            match permits.clone().try_acquire_owned() {
                Ok(permit) => self.start_poll(id, permit),
                Err(_) => without_permit.push(id),
            }
            if self.healthy.available_permits() == 0 && self.ailing.available_permits() == 0 {
                break;
            }
        }
        let permits_ran_out = !without_permit.is_empty();
        for id in without_permit {
            self.timers.set(id, now);
        }
        let next_at = self.timers.next_at();
        let lag = next_at.map(|at| now - at).unwrap_or_default();
        self.poller.metrics.poll_lag.set(lag.as_secs_f64());
        match next_at {
            // A permit comes back within `SLOW_AFTER`, maybe without a poll having ended.
            Some(at) if at <= now && permits_ran_out => Some(SLOW_AFTER / 10),
            next => next.map(|at| at - now),
        }
    }

    fn start_poll(&mut self, id: TenantId, permit: OwnedSemaphorePermit) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let is_active = watched.tenant.is_active();
        let was_suspended = std::mem::replace(&mut watched.was_suspended, !is_active);
        let request = PollRequest {
            tenant: watched.tenant.clone(),
            plan: std::mem::take(&mut watched.next),
            resumed: was_suspended && is_active,
            waiting_tenants: self.waiting_tenants,
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
        if !watched.is_ours {
            self.watched.remove(&id);
            return;
        }
        let waits = result.waits_for_capacity();
        let waited = std::mem::replace(&mut watched.waits_for_capacity, waits);
        self.waiting_tenants = self.waiting_tenants + usize::from(waits) - usize::from(waited);
        let terms = Terms {
            now: self.poller.clock.boot_time(),
            intervals: self.poller.intervals.of(&watched.tenant),
            waiting_tenants: self.waiting_tenants,
            woken,
            in_herd: std::mem::take(&mut watched.in_herd),
            jitter: Jitter::draw(&self.poller.random),
        };
        watched.next = next_poll::next(result, &terms);
        self.timers.set_no_later_than(id, terms.now + watched.next.wait);
    }

    /// The task's id says whose poll it was that panicked.
    fn plan_after_panic(&mut self, error: &JoinError) {
        let task = |watched: &Watched| watched.in_flight.as_ref().map(|in_flight| in_flight.task);
        let found = self.watched.iter().find(|(_, watched)| task(watched) == Some(error.id()));
        let Some((id, watched)) = found else { return };
        warn!(tenant = watched.tenant.slug(), "a poll panicked: {error}");
        self.plan_next(*id, PollResult::Panicked);
    }
}

#[cfg(test)]
mod tests;
