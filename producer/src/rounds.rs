//! The producer's loop: looks at each tenant when its time comes, when a wake names it, and at
//! least every poll interval; never twice at once at the same tenant.
//!
//! Healthy tenants share some lanes. A look that takes long leaves its lane to the others, and an
//! ailing tenant is looked at in lanes of its own kind, so that nobody waits behind a database
//! that is dark or slow.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::id::TenantId;
use shared::pulse::{BEAT_EVERY, Beat};
use shared::queue::Wakes;
use shared::store::{StoreError, chain};
use shared::tenants::{OpenTenant, Tenants};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agenda::Agenda;
use crate::look::Looker;

/// How many healthy tenants are looked at at once.
const LANES: usize = 16;
/// How many ailing ones.
const AILING_LANES: usize = 16;
/// A look that takes longer than this no longer holds a lane up.
const LANE_LIMIT: Duration = Duration::from_millis(500);
/// What the database refused as data is tried again after this long.
const REFUSED_AFTER: Duration = Duration::from_secs(30);

type Listed = Arc<BTreeMap<TenantId, Arc<OpenTenant>>>;

/// Whose turn it is.
pub(crate) struct Rounds {
    clock: Clock,
    tenants: Arc<Tenants>,
    looker: Arc<Looker>,
    agenda: Agenda,
    looking: JoinSet<(TenantId, Duration)>,
    /// Tenants that are being looked at, and whether to look again at once.
    in_hand: BTreeMap<TenantId, bool>,
    /// The list that the agenda was made from; compared with each newer one.
    listed: Listed,
    /// Tenants that were suspended when they were looked at last.
    suspended: HashSet<TenantId>,
    healthy: Arc<Semaphore>,
    ailing: Arc<Semaphore>,
    beat: Beat,
}

impl Rounds {
    pub(crate) fn new(tenants: Arc<Tenants>, looker: Arc<Looker>, beat: Beat) -> Rounds {
        Rounds {
            clock: tenants.clock().clone(),
            tenants,
            looker,
            agenda: Agenda::default(),
            looking: JoinSet::new(),
            in_hand: BTreeMap::new(),
            listed: Listed::default(),
            suspended: HashSet::new(),
            healthy: Arc::new(Semaphore::new(LANES)),
            ailing: Arc::new(Semaphore::new(AILING_LANES)),
            beat,
        }
    }

    /// Goes round until asked to stop, then waits for the looks that are under way.
    pub(crate) async fn run(
        mut self,
        mut wakes: Wakes,
        refreshed: Arc<Notify>,
        stop: CancellationToken,
    ) {
        loop {
            self.beat.beat();
            self.look_at_changed();
            let wait = self.start_what_is_due().unwrap_or(BEAT_EVERY).min(BEAT_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(looked) = self.looking.join_next() => match looked {
                    Ok((tenant, wait)) => self.looked(tenant, wait),
                    Err(error) => self.crashed(&error),
                },
                tenant = wakes.next() => match tenant {
                    Some(tenant) => self.wake(tenant),
                    None => self.look_at_all(),
                },
                () = refreshed.notified() => {}
                () = self.clock.sleep(wait) => {}
            }
        }
        while self.looking.join_next().await.is_some() {}
    }

    /// Looks at the tenants that are new in the list, or differ from before.
    fn look_at_changed(&mut self) {
        let listed = self.tenants.all();
        if Arc::ptr_eq(&listed, &self.listed) {
            return;
        }
        for (id, tenant) in listed.iter() {
            if !self.listed.get(id).is_some_and(|before| Arc::ptr_eq(before, tenant)) {
                self.wake(*id);
            }
        }
        self.listed = listed;
    }

    fn look_at_all(&mut self) {
        for id in self.tenants.all().keys() {
            self.wake(*id);
        }
    }

    fn wake(&mut self, tenant: TenantId) {
        match self.in_hand.get_mut(&tenant) {
            Some(again) => *again = true,
            // A wake names whom it likes; only those we know are looked at.
            None if self.tenants.get(tenant).is_some() => {
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
            let Some(tenant) = self.tenants.get(id) else { continue };
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
        let overdue = self.agenda.next_at().map(|at| now.saturating_sub(at)).unwrap_or_default();
        self.looker.metrics.agenda_lag.set(overdue.as_secs_f64());
        match self.agenda.next_at() {
            // A lane is given up within its limit, be it by the end of a look or before.
            Some(at) if at <= now && full => Some(LANE_LIMIT / 10),
            next => next.map(|at| at.saturating_sub(now)),
        }
    }

    fn start(&mut self, tenant: Arc<OpenTenant>, lane: OwnedSemaphorePermit) {
        let id = tenant.tenant.id;
        let was_suspended = self.suspended.remove(&id);
        if !tenant.is_active() {
            self.suspended.insert(id);
        }
        let resumed = was_suspended && tenant.is_active();
        self.in_hand.insert(id, false);
        let (looker, clock) = (self.looker.clone(), self.clock.clone());
        self.looking.spawn(async move {
            let look = look(&looker, &clock, &tenant, resumed);
            tokio::pin!(look);
            let wait = tokio::select! {
                biased;
                wait = &mut look => wait,
                () = clock.sleep(LANE_LIMIT) => {
                    drop(lane);
                    look.await
                }
            };
            (id, wait)
        });
    }

    fn looked(&mut self, tenant: TenantId, wait: Duration) {
        let again = self.in_hand.remove(&tenant).unwrap_or_default();
        if self.tenants.get(tenant).is_some() {
            let wait = if again { Duration::ZERO } else { wait };
            self.agenda.set_at_latest(tenant, self.clock.boot_time() + wait);
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

/// Looks at one tenant, and keeps its health; answers with how long to wait before the next look.
async fn look(looker: &Looker, clock: &Clock, tenant: &Arc<OpenTenant>, resumed: bool) -> Duration {
    let before = clock.boot_time();
    looker.metrics.looks.inc();
    match looker.tick(tenant, resumed).await {
        Ok(wait) => {
            tenant.health.succeeded(tenant.slug(), clock.boot_time().saturating_sub(before));
            wait
        }
        Err(error) => {
            tenant.health.failed(tenant.slug(), &error);
            match error {
                StoreError::Refused(_) | StoreError::Conflict(_) => {
                    warn!(tenant = tenant.slug(), "the look failed: {}", chain(&error));
                    REFUSED_AFTER
                }
                _ => tenant.health.leave_alone(),
            }
        }
    }
}
