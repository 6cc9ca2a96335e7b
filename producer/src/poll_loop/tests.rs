//! The loop, step by step: the test decides which polls are in flight, and how they end.

use shared::clock::{BootTime, Clock, ManualClock};
use shared::config::{Config, Sources};
use shared::metrics::Metrics;
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::store::{Connections, Control, Schema, Store, migrate};
use shared::tenant::{Tenant, TenantStatus};
use shared::trace::Tracer;
use testkit::Folder;

use super::*;
use crate::capacity::QueueCapacity;
use crate::lateness::Lateness;
use crate::messenger::Messenger;
use crate::poll_interval::PollIntervals;
use crate::pruner::Pruner;
use crate::replanner::Replanner;

/// A loop over three tenants.
struct Fixture {
    poll_loop: PollLoop,
    clock: ManualClock,
    partition: watch::Sender<Partition>,
    ids: Vec<TenantId>,
    _folder: Folder,
}

async fn fixture() -> Fixture {
    let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
    let clock = Clock::Manual(manual.clone());
    let (folder, random) = (Folder::new(), Random::seeded(7));
    let connections = Connections::new(clock.clone(), 4);
    let control_url = folder.sqlite_database("control.db");
    migrate(&control_url, Schema::Control).await.unwrap();
    let control = Control::new(&control_url, &connections).unwrap();
    let mut ids = Vec::new();
    for n in 0..3 {
        let now = clock.wall_time();
        let url = folder.sqlite_database(&format!("{n}.db"));
        migrate(&url, Schema::Tenant).await.unwrap();
        let id = TenantId::new(now, &random);
        let store = Store::new(id, &url, &connections).unwrap();
        assert!(store.set_owner().await.unwrap().is_applied());
        let tenant = Tenant {
            id,
            slug: format!("t{n}"),
            name: String::new(),
            status: TenantStatus::Active,
            database_url: url,
            schema: None,
            max_running: None,
            created_at: now,
            updated_at: now,
        };
        control.insert_tenant(&tenant).await.unwrap();
        ids.push(id);
    }
    let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
    tenants.refresh().await.unwrap();
    let (publisher, _driver) = Queue::Memory(MemoryBroker::new()).publisher("test", &[]);
    let metrics = Metrics::new(clock.clone());
    let config = Config::read(&Sources::default(), &[]).unwrap();
    let poller = Arc::new(TenantPoller {
        capacity: QueueCapacity::new(publisher.clone(), clock.clone(), &[]),
        messenger: Messenger::new(publisher, metrics.clone(), Tracer::default(), clock.clone()),
        lateness: Lateness::new(random.clone()),
        pruner: Pruner::new(&config, random.clone(), metrics.clone()),
        replanner: Replanner::default(),
        random,
        intervals: PollIntervals::new(Duration::from_secs(30), metrics.clone()),
        metrics,
        clock,
    });
    let (partition, partitions) = watch::channel(Partition::whole());
    let poll_loop = PollLoop::new(tenants, poller, partitions, Watchdog::default());
    Fixture { poll_loop, clock: manual, partition, ids, _folder: folder }
}

/// A poll that was skipped since the queues were full.
fn queues_full() -> PollResult {
    PollResult::Skipped(SkipIf::QueuesFull { until: BootTime::ZERO })
}

impl Fixture {
    /// Puts a poll in flight that the test ends.
    fn put_in_flight(
        &mut self,
        id: TenantId,
        poll: impl Future<Output = PollResult> + Send + 'static,
    ) {
        let task = self.poll_loop.polls.spawn(async move { (id, poll.await) });
        let watched = self.poll_loop.watched.get_mut(&id).unwrap();
        (watched.in_flight, watched.woken) = (Some(task.id()), false);
    }

    /// Handles the end of a poll, as the loop does.
    async fn end_a_poll(&mut self) {
        let ended = self.poll_loop.polls.join_next_with_id().await.unwrap();
        self.poll_loop.plan_next(ended);
    }

    /// Handles the ends of polls until that of this tenant.
    async fn end_a_poll_of(&mut self, id: TenantId) {
        while self.in_flight(id).is_some() {
            self.end_a_poll().await;
        }
    }

    fn in_flight(&self, id: TenantId) -> Option<task::Id> {
        self.poll_loop.watched[&id].in_flight
    }

    /// Changes the partition, and has the loop follow.
    fn change_partition(&mut self, partition: Partition) {
        self.partition.send_replace(partition);
        self.poll_loop.listed = Arc::default();
        self.poll_loop.update_watched();
    }
}

#[tokio::test]
async fn a_poll_that_panics_is_attributed_to_its_tenant_and_no_second_poll_starts_beside_others() {
    let mut it = fixture().await;
    let [panics, goes_on, _] = it.ids[..] else { unreachable!() };
    it.poll_loop.update_watched();
    it.put_in_flight(panics, async { panic!("a defect") });
    it.put_in_flight(goes_on, std::future::pending());
    let task = it.in_flight(goes_on);
    it.end_a_poll().await;
    assert!(it.in_flight(panics).is_none());
    it.poll_loop.wake(goes_on);
    it.poll_loop.start_due_polls();
    assert_eq!(it.in_flight(goes_on), task, "its poll goes on");
    assert!(it.poll_loop.watched[&goes_on].woken);
    it.poll_loop.wake(panics);
    it.poll_loop.start_due_polls();
    assert!(it.in_flight(panics).is_some(), "it is polled again");
}

#[tokio::test]
async fn a_poll_in_flight_outlasts_changes_of_the_partition_without_a_second_one() {
    let mut it = fixture().await;
    let id = it.ids[0];
    it.poll_loop.update_watched();
    let (end, ended) = tokio::sync::oneshot::channel();
    it.put_in_flight(id, async move { ended.await.unwrap() });
    let task = it.in_flight(id);
    it.change_partition(Partition::tiny());
    assert_eq!(it.poll_loop.watched.len(), 1, "only the tenant in flight is remembered");
    it.poll_loop.wake(id);
    it.poll_loop.start_due_polls();
    it.change_partition(Partition::whole());
    it.poll_loop.start_due_polls();
    assert_eq!(it.in_flight(id), task, "no second poll");
    end.send(PollResult::Refused).unwrap();
    it.end_a_poll_of(id).await;
    it.poll_loop.start_due_polls();
    let next = it.in_flight(id).expect("it came back meanwhile, so it is polled at once");
    assert_ne!(Some(next), task);
}

#[tokio::test]
async fn nothing_is_remembered_of_a_tenant_that_has_departed() {
    let mut it = fixture().await;
    let [waits, in_flight, _] = it.ids[..] else { unreachable!() };
    it.poll_loop.update_watched();
    it.put_in_flight(waits, async { queues_full() });
    it.end_a_poll().await;
    assert_eq!(it.poll_loop.waiting.len(), 1);
    it.put_in_flight(in_flight, async { PollResult::Refused });
    it.change_partition(Partition::tiny());
    assert_eq!((it.poll_loop.watched.len(), it.poll_loop.waiting.len()), (1, 0));
    it.end_a_poll().await;
    it.poll_loop.wake(in_flight);
    it.poll_loop.start_due_polls();
    assert!(it.poll_loop.watched.is_empty() && it.poll_loop.polls.is_empty());
}

#[tokio::test]
async fn a_wake_makes_the_next_poll_unskippable() {
    let mut it = fixture().await;
    let id = it.ids[0];
    it.poll_loop.update_watched();
    it.put_in_flight(id, async { queues_full() });
    it.end_a_poll().await;
    let skips = |it: &Fixture| it.poll_loop.watched[&id].next.skip_if.is_some();
    assert!(skips(&it));
    it.poll_loop.wake(id);
    assert!(!skips(&it));
}

#[tokio::test]
async fn a_flood_of_wakes_has_a_tenant_polled_once_in_25_ms_and_others_at_once() {
    let mut it = fixture().await;
    let [flooded, other, _] = it.ids[..] else { unreachable!() };
    it.poll_loop.update_watched();
    it.poll_loop.start_due_polls();
    while !it.poll_loop.polls.is_empty() {
        it.end_a_poll().await;
    }
    it.clock.advance(Duration::from_secs(1));
    let before = it.poll_loop.poller.metrics.polls.get();
    for _ in 0..250 {
        it.poll_loop.wake(flooded);
        it.poll_loop.start_due_polls();
        it.poll_loop.wake(flooded); // while the poll is in flight, if there is one
        it.end_a_poll_of(flooded).await;
        it.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(it.poll_loop.poller.metrics.polls.get() - before, 10);
    it.poll_loop.wake(other);
    it.poll_loop.start_due_polls();
    assert!(it.in_flight(other).is_some());
}
