//! A tenant at rest, at which nothing is due and nothing has changed, costs nothing.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use polychron_producer::next_poll::{NextPoll, SkipIf};
use polychron_producer::sweeper::SweepScope;
use polychron_producer::tenant_poll::TenantPoller;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::database_url::DatabaseUrl;
use shared::health::Health;
use shared::id::TenantId;
use shared::queue::MemoryBroker;
use shared::random::Random;
use shared::store::{Connections, NewJob, Schema, Store, migrate};
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::OpenTenant;
use testkit::{Folder, eventually, execute, postgres_database};

use crate::table::{self, Polled, SOON};

const INSERT: &str =
    r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{"every":"1h"}')"#;

/// One tenant, by the system's clock: the file system and the server use it, too.
struct Resting {
    folder: Folder,
    connections: Connections,
    tenant: Arc<OpenTenant>,
    poller: TenantPoller,
}

impl Resting {
    /// A tenant with an SQLite file.
    async fn new() -> Resting {
        let folder = Folder::new();
        let url = folder.sqlite_database("tenant.db");
        Resting::at(folder, url).await
    }

    /// A tenant on an overloaded server.
    async fn on_overloaded_server() -> Resting {
        let url = postgres_database().await;
        let one = Resting::at(Folder::new(), url.clone()).await;
        let others = (0..300).map(|_| one.tenant.tenant.clone()).map(|tenant| {
            let store = Arc::new(Store::new(tenant.id, &url, &one.connections).unwrap());
            OpenTenant { tenant, store, health: one.tenant.health.clone() }
        });
        one.poller.intervals.count(others.collect::<Vec<_>>().iter());
        one
    }

    async fn at(folder: Folder, url: DatabaseUrl) -> Resting {
        let (clock, random) = (Clock::System, Random::seeded(7));
        let connections = Connections::new(clock.clone(), 4);
        migrate(&url, Schema::Tenant).await.unwrap();
        let now = clock.wall_time();
        let id = TenantId::new(now, &random);
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
            created_at: now,
            updated_at: now,
        };
        let health = Arc::new(Health::new(clock.clone()));
        let tenant = Arc::new(OpenTenant { tenant, store: Arc::new(store), health });
        let (poller, _) = table::poller(&MemoryBroker::new(), &clock, &random);
        Resting { folder, connections, tenant, poller }
    }

    async fn add(&self, name: &str, schedule: Value) {
        self.tenant.store.insert_job(&NewJob::new(name, "noop", schedule)).await.unwrap();
    }

    /// Polls until there is nothing more to do now.
    async fn poll(&self) -> Polled {
        loop {
            let polled = table::poll(&self.poller, &self.tenant, None, SweepScope::Overdue).await;
            if !polled.wait.is_zero() && polled.wait != SOON {
                return polled;
            }
        }
    }

    /// Waits until no connection has the files open, and sets their times back.
    async fn age(&self) {
        self.tenant.store.close_idle();
        let (log, database) = (self.folder.path("tenant.db-wal"), self.folder.path("tenant.db"));
        eventually("the log is folded in", || async { (!log.exists()).then_some(()) }).await;
        let file = File::options().append(true).open(database).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before - Duration::from_secs(60)).unwrap();
    }

    async fn poll_again(&self, last: NextPoll) -> Polled {
        table::poll(&self.poller, &self.tenant, Some(last), SweepScope::Overdue).await
    }

    /// How many polls there were, and how many were skipped.
    fn polls(&self) -> (u64, u64) {
        (self.poller.metrics.polls.get(), self.poller.metrics.polls_skipped.get())
    }
}

/// Whether the next poll is skipped if the tenant is unchanged.
fn skips_if_unchanged(next: &NextPoll) -> bool {
    matches!(next.skip_if, Some(SkipIf::Unchanged { .. }))
}

#[tokio::test]
async fn an_sqlite_tenant_is_not_opened_until_its_files_change() {
    let one = Resting::new().await;
    let polled = one.poll().await;
    assert!(!skips_if_unchanged(&polled.next), "the files were modified just now");
    assert_eq!(one.connections.count().sqlite, (0, 0), "no connection is kept");
    one.age().await;
    let mut polled = one.poll().await;
    let (polls, _) = one.polls();
    for skipped in 1..=3 {
        assert!(skips_if_unchanged(&polled.next));
        polled = one.poll_again(polled.next).await;
        assert_eq!(one.polls(), (polls, skipped));
        assert!((25..=30).contains(&polled.wait.as_secs()), "{:?}", polled.wait);
        assert_eq!(one.connections.count().sqlite, (0, 0));
    }
    execute(&one.tenant.tenant.database_url, INSERT).await;
    let polled = one.poll_again(polled.next).await;
    assert_eq!(one.polls(), (polls + 1, 3));
    assert!(polled.wait.is_zero(), "it has been armed");
    assert!(polled.next.skip_if.is_none());
}

#[tokio::test]
async fn a_tenant_of_an_overloaded_server_is_not_polled_until_the_statistics_show_a_change() {
    let one = Resting::on_overloaded_server().await;
    let connected = || one.connections.count().postgres;
    let polled = one.poll().await;
    assert!(skips_if_unchanged(&polled.next));
    assert!((13..=15).contains(&polled.wait.as_secs()), "well within the poll interval");
    let known = Cell::new(Some(polled.next));
    let poll_again = async || {
        let polled = one.poll_again(known.take().unwrap()).await;
        known.set(Some(polled.next));
    };
    // The statistics may report late what the set-up has written.
    eventually("a poll is skipped", || async {
        poll_again().await;
        (one.polls().1 > 0).then_some(())
    })
    .await;
    assert!(connected().0 <= 1, "for the server's statistics: {:?}", connected());
    // Statistics are not trusted for ever.
    let mut next = known.take().unwrap();
    let Some(SkipIf::Unchanged { trusted_until, .. }) = &mut next.skip_if else {
        panic!("{next:?}")
    };
    assert!(trusted_until.is_some_and(|until| until > Clock::System.boot_time()));
    *trusted_until = Some(Clock::System.boot_time());
    known.set(Some(next));
    let before = one.polls();
    poll_again().await;
    assert_eq!(one.polls(), (before.0 + 1, before.1));
    execute(&one.tenant.tenant.database_url, INSERT).await;
    eventually("it has been armed", || async {
        poll_again().await;
        one.tenant.store.poll().await.unwrap().next_due_at
    })
    .await;
}

#[tokio::test]
async fn an_overloaded_server_without_statistics_is_polled_less_often() {
    let one = Resting::on_overloaded_server().await;
    assert_eq!(one.poller.metrics.poll_interval.get(), 30.0, "it has not been probed");
    let url = &one.tenant.tenant.database_url;
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    execute(url, &format!("ALTER DATABASE {name} SET track_counts = off")).await;
    one.tenant.store.close_idle();
    let polled = one.poll().await;
    assert!(polled.next.skip_if.is_none());
    assert!((45..=50).contains(&polled.wait.as_secs()), "{:?}", polled.wait);
    assert_eq!(one.poller.metrics.poll_interval.get(), 50.0);
}

#[tokio::test]
async fn what_is_due_is_dispatched_although_the_files_are_unchanged() {
    let one = Resting::new().await;
    let soon = Clock::System.wall_time() + TimeDelta::seconds(10);
    one.add("soon", json!({"at": soon})).await;
    one.poll().await;
    one.age().await;
    let mut polled = one.poll().await;
    let Some(SkipIf::Unchanged { event, .. }) = &mut polled.next.skip_if else {
        panic!("in progress")
    };
    assert_eq!(*event, Some(soon));
    assert!(polled.wait <= Duration::from_secs(10));
    assert_eq!(one.connections.count().sqlite, (1, 1), "kept, because it is needed soon");
    let before = one.polls();
    // This close to its time, the connection is opened, whatever the files say.
    *event = Some(Clock::System.wall_time() + TimeDelta::seconds(3));
    one.poll_again(polled.next).await;
    assert_eq!(one.polls(), (before.0 + 1, before.1));
}

#[tokio::test]
async fn a_tenant_where_something_is_in_progress_is_not_at_rest() {
    let one = Resting::new().await;
    one.add("now", json!({"at": Clock::System.wall_time()})).await;
    let polled = one.poll().await;
    assert!(polled.next.skip_if.is_none(), "it has been dispatched");
    assert!(polled.wait <= Duration::from_secs(10));
}
