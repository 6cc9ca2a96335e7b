//! The fixture of the tests that poll by hand: one tenant, one poller, one clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use polychron_producer::capacity::QueueCapacity;
use polychron_producer::lateness::Lateness;
use polychron_producer::messenger::Messenger;
use polychron_producer::next_poll::{self, NextPoll, PollResult, Terms};
use polychron_producer::poll_interval::PollIntervals;
use polychron_producer::pruner::Pruner;
use polychron_producer::replanner::Replanner;
use polychron_producer::sweeper::SweepScope;
use polychron_producer::tenant_poll::TenantPoller;
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock};
use shared::config::{Config, Sources};
use shared::execution::Execution;
use shared::health::Health;
use shared::id::TenantId;
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::queue::{Driver, MemoryBroker, Queue};
use shared::random::Random;
use shared::store::{
    Claim, ClaimTerms, Connections, DbTime, ExecutionFilter, Finish, NewJob, Schema, Store, migrate,
};
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::OpenTenant;
use shared::trace::Tracer;
use testkit::Folder;

/// The worker that tests act as.
pub(crate) const WORKER: &str = "worker";

/// The time between two polls after a burst.
pub(crate) const SOON: Duration = Duration::from_millis(25);

/// One tenant and one producer.
pub(crate) struct Table {
    pub(crate) manual: ManualClock,
    pub(crate) clock: Clock,
    pub(crate) broker: MemoryBroker,
    pub(crate) tenant: Arc<OpenTenant>,
    pub(crate) poller: TenantPoller,
    pub(crate) random: Random,
    _folder: Folder,
    _driver: Driver,
}

impl Table {
    /// At noon, with nothing to do.
    pub(crate) async fn new() -> Table {
        Table::at("2026-11-24T12:00:00Z").await
    }

    /// At another time.
    pub(crate) async fn at(time: &str) -> Table {
        let manual = ManualClock::new(time.parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let (folder, random) = (Folder::new(), Random::seeded(7));
        let connections = Connections::new(clock.clone(), 4);
        let url = folder.sqlite_database("tenant.db");
        migrate(&url, Schema::Tenant).await.unwrap();
        let id = TenantId::new(clock.wall_time(), &random);
        let store = Store::new(id, &url, &connections).unwrap();
        assert!(store.set_owner().await.unwrap().is_applied());
        let tenant = Tenant {
            id,
            slug: "acme".into(),
            name: "Acme".into(),
            status: TenantStatus::Active,
            database_url: url,
            schema: None,
            max_running: None,
            created_at: clock.wall_time(),
            updated_at: clock.wall_time(),
        };
        let health = Arc::new(Health::new(clock.clone()));
        let tenant = Arc::new(OpenTenant { tenant, store: Arc::new(store), health });
        let broker = MemoryBroker::new();
        let (poller, driver) = poller(&broker, &clock, &random);
        Table { manual, clock, broker, tenant, poller, random, _folder: folder, _driver: driver }
    }

    /// The same tenant with other settings, as the control database would list it.
    pub(crate) fn change_tenant(&mut self, change: impl FnOnce(&mut Tenant)) {
        let mut tenant = self.tenant.tenant.clone();
        change(&mut tenant);
        let (store, health) = (self.tenant.store.clone(), self.tenant.health.clone());
        self.tenant = Arc::new(OpenTenant { tenant, store, health });
    }

    /// Another producer at the same tenant and broker.
    pub(crate) fn another_poller(&self) -> (TenantPoller, Driver) {
        poller(&self.broker, &self.clock, &self.random)
    }

    /// Adds a job and, by a poll, arms it.
    pub(crate) async fn add(&self, name: &str, schedule: Value, change: impl FnOnce(&mut NewJob)) {
        let mut job = NewJob::new(name, "noop", schedule);
        change(&mut job);
        self.tenant.store.insert_job(&job).await.unwrap();
        self.poll().await;
    }

    /// Polls once, and waits until what was dispatched is published.
    pub(crate) async fn poll_once(&self, last: Option<NextPoll>) -> Polled {
        let polled = poll(&self.poller, &self.tenant, last, SweepScope::Overdue).await;
        self.flush().await;
        polled
    }

    /// Waits until what was dispatched is published.
    pub(crate) async fn flush(&self) {
        self.poller.messenger.flush(Duration::from_secs(60)).await;
    }

    /// How many polls there have been that were not skipped.
    pub(crate) fn polls(&self) -> u64 {
        self.poller.metrics.polls.get()
    }

    /// Polls until there is nothing more to do now, and returns how long until the next poll.
    pub(crate) async fn poll(&self) -> Duration {
        for _ in 0..100 {
            let wait = self.poll_once(None).await.wait;
            if !wait.is_zero() && wait != SOON {
                return wait;
            }
        }
        panic!("the producer is busy for ever");
    }

    /// Moves the clock, then polls.
    pub(crate) async fn after(&self, seconds: u64) -> Duration {
        self.manual.advance(Duration::from_secs(seconds));
        self.poll().await
    }

    /// The time.
    pub(crate) fn now(&self) -> DbTime {
        DbTime::shown_by(&self.manual)
    }

    /// All executions, oldest first.
    pub(crate) async fn executions(&self) -> Vec<Execution> {
        let filter = ExecutionFilter::default();
        let mut rows = self.tenant.store.list_executions(&filter, 1_000_000).await.unwrap();
        rows.sort_by_key(|row| (row.scheduled_for, row.attempt, row.job_id));
        rows
    }

    /// How many executions have each status.
    pub(crate) async fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for row in self.executions().await {
            *counts.entry(row.status.as_str()).or_default() += 1;
        }
        counts
    }

    /// Takes the messages from the queue, and claims what they name, as a worker would.
    pub(crate) async fn claim(&self, at_most: usize) -> Vec<Claim> {
        let mut claims = Vec::new();
        let ids = self.broker.take(at_most);
        let terms = ClaimTerms {
            worker: WORKER.into(),
            queues: vec!["default".into()],
            lease: Duration::from_secs(60),
            default_timeout: Duration::from_secs(1800),
        };
        for message in ids {
            let claimed = self.tenant.store.claim(&[message.execution], &terms, self.now()).await;
            claims.extend(claimed.unwrap());
        }
        claims
    }

    /// Ends a claimed execution.
    pub(crate) async fn finish(&self, claim: &Claim, outcome: Outcome) {
        let now = self.now();
        let end = Finish::of(&outcome, &claim.attempts(), (claim.id, WORKER), now, &self.random);
        let ended = self.tenant.store.finish(&[end], now).await.unwrap();
        assert_eq!(ended.len(), 1);
    }
}

/// A poll, and what the loop would do next.
pub(crate) struct Polled {
    /// How long until the next poll.
    pub(crate) wait: Duration,
    pub(crate) next: NextPoll,
}

/// Polls a tenant and plans its next poll, as the loop does.
pub(crate) async fn poll(
    poller: &TenantPoller,
    tenant: &Arc<OpenTenant>,
    last: Option<NextPoll>,
    scope: SweepScope,
) -> Polled {
    let result = poller.poll(tenant, last.unwrap_or_default(), scope).await;
    assert!(
        !matches!(result, PollResult::Refused | PollResult::Failed(_) | PollResult::Panicked),
        "{result:?}"
    );
    let terms = Terms {
        now: poller.clock.boot_time(),
        until: &|time| tenant.store.until(time),
        intervals: poller.intervals.of(tenant),
        pauses: poller.capacity.pauses(),
        waiting_tenants: 1,
        woken: None,
        in_herd: false,
        jitter: poller.random.unit(),
    };
    let next = next_poll::next(result, &terms);
    Polled { wait: next.wait, next }
}

/// A producer's poller.
pub(crate) fn poller(
    broker: &MemoryBroker,
    clock: &Clock,
    random: &Random,
) -> (TenantPoller, Driver) {
    let (publisher, driver) = Queue::Memory(broker.clone()).publisher("test", &[]);
    let queues = ["default".to_owned()];
    let metrics = Metrics::new(clock.clone());
    let poller = TenantPoller {
        capacity: QueueCapacity::new(publisher.clone(), clock.clone(), &queues),
        messenger: Messenger::new(publisher, metrics.clone(), Tracer::default(), clock.clone()),
        lateness: Lateness::new(random.clone()),
        pruner: Pruner::new(&config(), random.clone(), metrics.clone()),
        intervals: PollIntervals::new(Duration::from_secs(30), metrics.clone()),
        replanner: Replanner::default(),
        metrics,
        random: random.clone(),
        clock: clock.clone(),
    };
    (poller, driver)
}

/// The default settings.
pub(crate) fn config() -> Config {
    Config::read(&Sources::default(), &[]).unwrap()
}

/// A schedule that is due at this period.
pub(crate) fn every(period: &str) -> Value {
    json!({"every": period})
}
