//! The producer's loop: looks at each tenant of its share when its time comes, when a wake names
//! it, and at least every poll interval; never twice at once at the same tenant.
//!
//! Healthy tenants share some lanes. A look that takes long leaves its lane to the others, and an
//! ailing tenant is looked at in lanes of its own kind, so that nobody waits behind a database
//! that is dark or slow.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::id::TenantId;
use shared::liveness::{PING_EVERY, Watchdog};
use shared::queue::{Wake, Wakes};
use shared::store::{StoreError, chain};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agenda::Agenda;
use crate::look::{Looked, Looker, Still};
use crate::planner::HOLD;
use crate::share::Share;

/// How many healthy tenants are looked at at once.
const LANES: usize = 16;
/// How many ailing ones.
const AILING_LANES: usize = 16;
/// A look that takes longer than this no longer holds a lane up.
const LANE_LIMIT: Duration = Duration::from_millis(500);
/// Of tenants that wait for room in the queues, so often one asks whether there is some, and so often
/// one is looked at all the same: what comes due there meanwhile must be put on record in time.
const ASK_EVERY: Duration = Duration::from_millis(2);
const BLOCKED_LOOK_EVERY: Duration = Duration::from_millis(50);
/// The least time between two such looks at one tenant.
const BLOCKED_MIN: Duration = Duration::from_secs(1);
/// What the database refused as data is tried again after this long.
const REFUSED_AFTER: Duration = Duration::from_secs(30);

type Listed = BTreeMap<TenantId, Arc<OpenTenant>>;

/// Whose turn it is.
pub(crate) struct Rounds {
    clock: Clock,
    tenants: Arc<Tenants>,
    looker: Arc<Looker>,
    agenda: Agenda,
    looking: JoinSet<(TenantId, Looked)>,
    /// Tenants that are being looked at, and whether to look again at once.
    in_hand: BTreeMap<TenantId, bool>,
    /// The list of all tenants that `watched` was made from; compared with each newer one.
    listed: Arc<Listed>,
    /// Which part of it is this producer's.
    shares: watch::Receiver<Share>,
    /// That part.
    watched: Listed,
    /// Those of it that are looked at because all are, at once.
    crowded: HashSet<TenantId>,
    /// What is known of those of it that may be spared a look.
    still: HashMap<TenantId, Still>,
    /// Those of it that wait for room in the queues.
    blocked: HashSet<TenantId>,
    /// Tenants that were suspended when they were looked at last.
    suspended: HashSet<TenantId>,
    healthy: Arc<Semaphore>,
    ailing: Arc<Semaphore>,
    watchdog: Watchdog,
}

impl Rounds {
    pub(crate) fn new(
        tenants: Arc<Tenants>,
        looker: Arc<Looker>,
        shares: watch::Receiver<Share>,
        watchdog: Watchdog,
    ) -> Rounds {
        Rounds {
            clock: tenants.clock().clone(),
            tenants,
            looker,
            agenda: Agenda::default(),
            looking: JoinSet::new(),
            in_hand: BTreeMap::new(),
            listed: Arc::default(),
            shares,
            watched: Listed::default(),
            crowded: HashSet::new(),
            still: HashMap::new(),
            blocked: HashSet::new(),
            suspended: HashSet::new(),
            healthy: Arc::new(Semaphore::new(LANES)),
            ailing: Arc::new(Semaphore::new(AILING_LANES)),
            watchdog,
        }
    }

    /// Goes round until asked to stop, then waits for the looks that are under way. `refreshed`: the
    /// list was read again; `called`: told when a producer has come or gone.
    pub(crate) async fn run(
        mut self,
        mut wakes: Wakes,
        refreshed: Arc<Notify>,
        called: Arc<Notify>,
        stop: CancellationToken,
    ) {
        loop {
            self.watchdog.ping();
            self.look_at_changed();
            let wait = self.start_what_is_due().unwrap_or(PING_EVERY).min(PING_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(looked) = self.looking.join_next() => match looked {
                    Ok((tenant, looked)) => self.looked(tenant, looked),
                    Err(error) => self.crashed(&error),
                },
                wake = wakes.next() => match wake {
                    Wake::MembershipChanged => called.notify_one(),
                    Wake::Tenant(tenant) => self.wake(tenant),
                    Wake::All => self.look_at_all(),
                },
                () = refreshed.notified() => {}
                Ok(()) = self.shares.changed() => self.listed = Arc::default(),
                () = self.clock.sleep(wait) => {}
            }
        }
        while self.looking.join_next().await.is_some() {}
    }

    /// Looks at the tenants that are new in the list or in the share, or differ from before.
    fn look_at_changed(&mut self) {
        let listed = self.tenants.all();
        if Arc::ptr_eq(&listed, &self.listed) {
            return;
        }
        let share = self.shares.borrow_and_update().clone();
        let ours = listed.iter().filter(|(id, _)| share.has(**id));
        let ours: Listed = ours.map(|(id, tenant)| (*id, tenant.clone())).collect();
        let before = std::mem::replace(&mut self.watched, ours);
        let is_known = |(id, tenant): &(&TenantId, &Arc<OpenTenant>)| {
            before.get(id).is_some_and(|before| Arc::ptr_eq(before, tenant))
        };
        let changed = self.watched.iter().filter(|one| !is_known(one)).map(|(id, _)| *id);
        for id in changed.collect::<Vec<_>>() {
            self.still.remove(&id);
            self.crowded.insert(id);
            self.wake(id);
        }
        self.still.retain(|id, _| self.watched.contains_key(id));
        self.blocked.retain(|id| self.watched.contains_key(id));
        self.looker.pace.count(listed.values().map(Arc::as_ref));
        let metrics = &self.looker.metrics;
        metrics.tenants_watched.set(self.watched.len() as i64);
        metrics.poll_interval.set(self.looker.pace.longest().as_secs_f64());
        self.listed = listed;
    }

    fn look_at_all(&mut self) {
        let all: Vec<TenantId> = self.watched.keys().copied().collect();
        for id in all {
            self.crowded.insert(id);
            self.wake(id);
        }
    }

    fn wake(&mut self, tenant: TenantId) {
        match self.in_hand.get_mut(&tenant) {
            Some(again) => *again = true,
            // A wake names whom it likes; only those that are ours are looked at.
            None if self.watched.contains_key(&tenant) => {
                // A change may be known to its author before a server's statistics tell of it.
                self.still.remove(&tenant);
                self.agenda.set_at_latest(tenant, self.clock.boot_time());
            }
            None => {}
        }
    }

    /// Starts the looks that are due, as far as there are lanes; answers with how long until the
    /// next one. None: when a look ends, a wake comes or the list changes.
    fn start_what_is_due(&mut self) -> Option<Duration> {
        let mut no_lane = Vec::new();
        let now = self.clock.boot_time();
        while let Some(id) = self.agenda.pop_due(now) {
            let Some(tenant) = self.watched.get(&id).cloned() else { continue };
            let alone = tenant.health.leave_alone();
            if !alone.is_zero() {
                self.agenda.set(id, now + alone);
                continue;
            }
            let lanes = if tenant.health.is_ailing() { &self.ailing } else { &self.healthy };
            match lanes.clone().try_acquire_owned() {
                Ok(lane) => self.start(tenant, lane),
                Err(_) => no_lane.push(id),
            }
            if self.healthy.available_permits() == 0 && self.ailing.available_permits() == 0 {
                break;
            }
        }
        let full = !no_lane.is_empty();
        for id in no_lane {
            self.agenda.set(id, now);
        }
        let overdue = self.agenda.next_at().map(|at| now - at).unwrap_or_default();
        self.looker.metrics.agenda_lag.set(overdue.as_secs_f64());
        match self.agenda.next_at() {
            // A lane is given up within its limit, be it by the end of a look or before.
            Some(at) if at <= now && full => Some(LANE_LIMIT / 10),
            next => next.map(|at| at - now),
        }
    }

    fn start(&mut self, tenant: Arc<OpenTenant>, lane: OwnedSemaphorePermit) {
        let id = tenant.tenant.id;
        let was_suspended = self.suspended.remove(&id);
        if !tenant.is_active() {
            self.suspended.insert(id);
        }
        let resumed = was_suspended && tenant.is_active();
        let still = self.still.remove(&id).filter(|still| match still {
            Still::Rest(_) | Still::Going(_) => true,
            Still::Blocked(blocked) => {
                let together = BLOCKED_LOOK_EVERY * self.blocked.len() as u32;
                let since = self.clock.boot_time() - blocked.looked_at;
                since < together.clamp(BLOCKED_MIN, HOLD)
            }
        });
        self.in_hand.insert(id, false);
        let (looker, clock) = (self.looker.clone(), self.clock.clone());
        self.looking.spawn(async move {
            let look = look(&looker, &clock, &tenant, still, resumed);
            tokio::pin!(look);
            let looked = tokio::select! {
                biased;
                looked = &mut look => looked,
                () = clock.sleep(LANE_LIMIT) => {
                    drop(lane);
                    look.await
                }
            };
            (id, looked)
        });
    }

    fn looked(&mut self, tenant: TenantId, looked: Looked) {
        let again = self.in_hand.remove(&tenant).unwrap_or_default();
        if !self.watched.contains_key(&tenant) {
            return;
        }
        if matches!(looked.still, Some(Still::Blocked(_))) {
            self.blocked.insert(tenant);
        } else {
            self.blocked.remove(&tenant);
        }
        let crowded = self.crowded.remove(&tenant);
        let wait = match looked.still {
            _ if again => Duration::ZERO,
            // All had their turn together; the next ones are spread over the whole interval.
            Some(Still::Rest(_)) if crowded => looked.wait.mul_f64(self.looker.random.unit()),
            Some(Still::Blocked(_)) => looked.wait.max(ASK_EVERY * self.blocked.len() as u32),
            _ => looked.wait,
        };
        self.agenda.set_at_latest(tenant, self.clock.boot_time() + wait);
        // Whoever asked to look again may know of a change that cannot be told from outside yet.
        if let Some(still) = looked.still.filter(|_| !again) {
            self.still.insert(tenant, still);
        }
    }

    /// A look panicked. Whose it was is not known, so whoever is in hand is looked at again.
    fn crashed(&mut self, error: &tokio::task::JoinError) {
        warn!("a look at a tenant ended before its end: {error}");
        let at = self.clock.boot_time() + REFUSED_AFTER;
        for (tenant, _) in std::mem::take(&mut self.in_hand) {
            self.agenda.set(tenant, at);
        }
    }
}

/// Looks at one tenant, and keeps its health.
async fn look(
    looker: &Looker,
    clock: &Clock,
    tenant: &Arc<OpenTenant>,
    still: Option<Still>,
    resumed: bool,
) -> Looked {
    let before = clock.boot_time();
    match looker.tick(tenant, still, resumed).await {
        Ok(looked) => {
            tenant.health.succeeded(tenant.slug(), clock.boot_time() - before);
            looked
        }
        Err(error) => {
            tenant.health.failed(tenant.slug(), &error);
            let wait = match error {
                StoreError::Refused(_) | StoreError::Conflict(_) => {
                    warn!(tenant = tenant.slug(), "the look failed: {}", chain(&error));
                    REFUSED_AFTER
                }
                _ => tenant.health.leave_alone(),
            };
            Looked { wait, still: None }
        }
    }
}
