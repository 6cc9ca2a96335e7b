//! A tenant at which nothing is due and nothing has changed costs nothing.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use polychron_producer::look::{Looked, Looker};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::health::Health;
use shared::id::TenantId;
use shared::queue::MemoryBroker;
use shared::random::Random;
use shared::store::{Connections, NewJob, Schema, Store, migrate};
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::OpenTenant;
use testkit::{Folder, eventually, execute};

use crate::table;

/// One tenant by the machine's clock, which is the file system's, too.
struct Resting {
    folder: Folder,
    connections: Connections,
    tenant: Arc<OpenTenant>,
    looker: Looker,
}

impl Resting {
    async fn new() -> Resting {
        let (folder, clock, random) = (Folder::new(), Clock::System, Random::seeded(7));
        let connections = Connections::new(clock.clone(), 4);
        let url = folder.sqlite_database("tenant.db");
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

    async fn look(&self) -> Looked {
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

    fn looks(&self) -> (u64, u64) {
        (self.looker.metrics.looks.get(), self.looker.metrics.looks_spared.get())
    }
}

#[tokio::test]
async fn an_sqlite_tenant_is_not_opened_until_its_files_change() {
    let one = Resting::new().await;
    let looked = one.look().await;
    let rest = looked.rest.expect("nothing is on its way");
    assert!(rest.footprint.is_none(), "the files were modified just now");
    assert_eq!(one.connections.count().sqlite, (0, 0), "nothing is kept open for it");
    one.age().await;
    let mut looked = one.look().await;
    let (looks, _) = one.looks();
    for spared in 1..=3 {
        assert!(looked.rest.as_ref().is_some_and(|rest| rest.footprint.is_some()));
        looked = one.looker.tick(&one.tenant, looked.rest, false).await.unwrap();
        assert_eq!(one.looks(), (looks, spared));
        assert!((25..=30).contains(&looked.wait.as_secs()), "{:?}", looked.wait);
        assert_eq!(one.connections.count().sqlite, (0, 0));
    }
    let insert =
        r#"INSERT INTO job(name, job_type, schedule) VALUES ('a', 'noop', '{"every":"1h"}')"#;
    execute(&one.tenant.tenant.database_url, insert).await;
    let looked = one.looker.tick(&one.tenant, looked.rest, false).await.unwrap();
    assert_eq!(one.looks(), (looks + 1, 3));
    assert!(looked.wait.is_zero() && looked.rest.is_none(), "it has been armed");
}

#[tokio::test]
async fn what_is_due_is_done_though_the_files_are_unchanged() {
    let one = Resting::new().await;
    let soon = Clock::System.wall_time() + TimeDelta::seconds(10);
    one.add("soon", json!({"at": soon})).await;
    one.look().await;
    one.age().await;
    let looked = one.look().await;
    let rest = looked.rest.expect("nothing is on its way");
    assert_eq!(rest.until, Some(soon));
    assert!(looked.wait <= Duration::from_secs(10));
    assert_eq!(one.connections.count().sqlite, (1, 1), "kept, for it is needed soon");
    let before = one.looks();
    // So near its time, the connection is opened, whatever the files say.
    let mut rest = rest;
    rest.until = Some(Clock::System.wall_time() + TimeDelta::seconds(3));
    one.looker.tick(&one.tenant, Some(rest), false).await.unwrap();
    assert_eq!(one.looks(), (before.0 + 1, before.1));
}

#[tokio::test]
async fn a_tenant_where_something_is_on_its_way_is_not_at_rest() {
    let one = Resting::new().await;
    one.add("now", json!({"at": Clock::System.wall_time()})).await;
    let looked = one.look().await;
    assert!(looked.rest.is_none(), "it has been dispatched");
    assert!(looked.wait <= Duration::from_secs(10));
}
