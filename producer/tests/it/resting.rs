//! A tenant at which nothing is due and nothing has changed costs nothing.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use polychron_producer::look::{Looked, Looker, Rest, Still};
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

use crate::table;

/// One tenant by the machine's clock, which is the file system's and the server's, too.
struct Resting {
    folder: Folder,
    connections: Connections,
    tenant: Arc<OpenTenant>,
    looker: Looker,
}

impl Resting {
    /// Of a tenant with a file.
    async fn new() -> Resting {
        let folder = Folder::new();
        let url = folder.sqlite_database("tenant.db");
        Resting::at(folder, url).await
    }

    /// Of a tenant on a server that has too many of them.
    async fn crowded() -> Resting {
        let url = postgres_database().await;
        let one = Resting::at(Folder::new(), url.clone()).await;
        let others = (0..300).map(|_| one.tenant.tenant.clone()).map(|tenant| {
            let store = Arc::new(Store::new(tenant.id, &url, &one.connections).unwrap());
            OpenTenant { tenant, store, health: one.tenant.health.clone() }
        });
        one.looker.pace.count(others.collect::<Vec<_>>().iter());
        one
    }

    async fn at(folder: Folder, url: DatabaseUrl) -> Resting {
        let (clock, random) = (Clock::System, Random::seeded(7));
        let connections = Connections::new(clock.clone(), 4);
        migrate(&url, Schema::Tenant).await.unwrap();
        let now = clock.wall_time();
        let id = TenantId::new(now, &random);
        let store = Store::new(id, &url, &connections).unwrap();
        store.claim_database(false).await.unwrap();
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
        let (looker, _) = table::looker(&MemoryBroker::new(), &clock, &random);
        Resting { folder, connections, tenant, looker }
    }

    async fn add(&self, name: &str, schedule: Value) {
        self.tenant.store.insert_job(&NewJob::new(name, "noop", schedule)).await.unwrap();
    }

    async fn poll(&self) -> Looked {
        loop {
            let looked = self.looker.tick(&self.tenant, None, false).await.unwrap();
            if !looked.wait.is_zero() && looked.wait != table::SOON {
                return looked;
            }
        }
    }

    /// Waits until nobody has the files open, and makes them look as if that were long ago.
    async fn age(&self) {
        self.tenant.store.close_idle();
        let (log, database) = (self.folder.path("tenant.db-wal"), self.folder.path("tenant.db"));
        eventually("the log is folded in", || async { (!log.exists()).then_some(()) }).await;
        let file = File::options().append(true).open(database).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before - Duration::from_secs(60)).unwrap();
    }

    async fn look_again(&self, rest: Option<Rest>) -> Looked {
        self.looker.tick(&self.tenant, rest.map(Still::Rest), false).await.unwrap()
    }

    fn looks(&self) -> (u64, u64) {
        (self.looker.metrics.looks.get(), self.looker.metrics.looks_spared.get())
    }
}

fn at_rest(still: Option<Still>) -> Option<Rest> {
    match still? {
        Still::Rest(rest) => Some(rest),
        Still::Blocked(_) | Still::Going(_) => None,
    }
}

fn change_token(looked: &Looked) -> bool {
    matches!(&looked.still, Some(Still::Rest(rest)) if rest.change_token.is_some())
}

#[tokio::test]
async fn an_sqlite_tenant_is_not_opened_until_its_files_change() {
    let one = Resting::new().await;
    let looked = one.poll().await;
    let rest = at_rest(looked.still).expect("nothing is on its way");
    assert!(rest.change_token.is_none(), "the files were modified just now");
    assert_eq!(one.connections.count().sqlite, (0, 0), "nothing is kept open for it");
    one.age().await;
    let mut looked = one.poll().await;
    let (looks, _) = one.looks();
    for spared in 1..=3 {
        assert!(change_token(&looked));
        looked = one.look_again(at_rest(looked.still)).await;
        assert_eq!(one.looks(), (looks, spared));
        assert!((25..=30).contains(&looked.wait.as_secs()), "{:?}", looked.wait);
        assert_eq!(one.connections.count().sqlite, (0, 0));
    }
    let insert = r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{"every":"1h"}')"#;
    execute(&one.tenant.tenant.database_url, insert).await;
    let looked = one.look_again(at_rest(looked.still)).await;
    assert_eq!(one.looks(), (looks + 1, 3));
    assert!(looked.wait.is_zero() && looked.still.is_none(), "it has been armed");
}

#[tokio::test]
async fn a_tenant_of_a_crowded_server_is_left_alone_until_the_server_tells_of_a_change() {
    let one = Resting::crowded().await;
    let connected = || one.connections.count().postgres;
    let looked = one.poll().await;
    assert!(change_token(&looked));
    assert!((13..=15).contains(&looked.wait.as_secs()), "well within the poll interval");
    let known = Cell::new(at_rest(looked.still));
    let look_again = async || {
        let looked = one.look_again(known.take()).await;
        known.set(at_rest(looked.still));
    };
    // What setting it up has written may be reported late.
    eventually("a look is spared", || async {
        look_again().await;
        (one.looks().1 > 0).then_some(())
    })
    .await;
    assert!(connected().0 <= 1, "for the server's statistics: {:?}", connected());
    // Now and then it is looked at all the same.
    let mut doubted = known.take().unwrap();
    assert!(doubted.believed_until.is_some_and(|until| until > Clock::System.boot_time()));
    doubted.believed_until = Some(Clock::System.boot_time());
    known.set(Some(doubted));
    let before = one.looks();
    look_again().await;
    assert_eq!(one.looks(), (before.0 + 1, before.1));
    let insert = r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{"every":"1h"}')"#;
    execute(&one.tenant.tenant.database_url, insert).await;
    eventually("it has been armed", || async {
        look_again().await;
        one.tenant.store.poll().await.unwrap().next_due_at
    })
    .await;
}

#[tokio::test]
async fn a_server_that_tells_nothing_is_polled_as_often_as_it_bears() {
    let one = Resting::crowded().await;
    assert_eq!(one.looker.metrics.poll_interval.get(), 0.0, "nothing is known yet");
    let url = &one.tenant.tenant.database_url;
    let (_, name) = url.expose().rsplit_once('/').unwrap();
    execute(url, &format!("ALTER DATABASE {name} SET track_counts = off")).await;
    one.tenant.store.close_idle();
    let looked = one.poll().await;
    assert!(at_rest(looked.still).is_some_and(|rest| rest.change_token.is_none()));
    assert!((45..=50).contains(&looked.wait.as_secs()), "{:?}", looked.wait);
    assert_eq!(one.looker.metrics.poll_interval.get(), 50.0);
}

#[tokio::test]
async fn what_is_due_is_done_though_the_files_are_unchanged() {
    let one = Resting::new().await;
    let soon = Clock::System.wall_time() + TimeDelta::seconds(10);
    one.add("soon", json!({"at": soon})).await;
    one.poll().await;
    one.age().await;
    let looked = one.poll().await;
    let rest = at_rest(looked.still).expect("nothing is on its way");
    assert_eq!(rest.until, Some(soon));
    assert!(looked.wait <= Duration::from_secs(10));
    assert_eq!(one.connections.count().sqlite, (1, 1), "kept, for it is needed soon");
    let before = one.looks();
    // So near its time, the connection is opened, whatever the files say.
    let mut rest = rest;
    rest.until = Some(Clock::System.wall_time() + TimeDelta::seconds(3));
    one.look_again(Some(rest)).await;
    assert_eq!(one.looks(), (before.0 + 1, before.1));
}

#[tokio::test]
async fn a_tenant_where_something_is_on_its_way_is_not_at_rest() {
    let one = Resting::new().await;
    one.add("now", json!({"at": Clock::System.wall_time()})).await;
    let looked = one.poll().await;
    assert!(looked.still.is_none(), "it has been dispatched");
    assert!(looked.wait <= Duration::from_secs(10));
}
