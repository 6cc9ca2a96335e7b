//! Readiness in each state of the broker and of the tenants.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::clock::{Clock, ManualClock};
use shared::id::TenantId;
use shared::queue::{BrokerState, MemoryBroker, Queue};
use shared::random::Random;
use shared::readiness::Probes;
use shared::store::{Connections, Control, Schema, StoreError, migrate};
use shared::telemetry::Telemetry;
use shared::tenant::{Tenant, TenantStatus};
use shared::tenants::Tenants;
use testkit::{Folder, eventually};
use tokio_util::sync::CancellationToken;

struct Watched {
    manual: ManualClock,
    broker: MemoryBroker,
    tenants: Arc<Tenants>,
    telemetry: Telemetry,
    drain: CancellationToken,
    _folder: Folder,
}

/// A process with this many tenants and a manual clock.
async fn watched(tenants: usize) -> Watched {
    let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
    let clock = Clock::Manual(manual.clone());
    let (folder, random) = (Folder::new(), Random::seeded(3));
    let url = folder.sqlite_database("control.db");
    migrate(&url, Schema::Control).await.unwrap();
    let connections = Connections::new(clock.clone(), 4);
    let control = Arc::new(Control::new(&url, &connections).unwrap());
    for n in 0..tenants {
        let now = clock.wall_time();
        let tenant = Tenant {
            id: TenantId::new(now, &random),
            slug: format!("t{n:02}"),
            name: String::new(),
            status: TenantStatus::Active,
            database_url: folder.sqlite_database("none.db"),
            schema: None,
            max_running: None,
            created_at: now,
            updated_at: now,
        };
        control.insert_tenant(&tenant).await.unwrap();
    }
    let tenants = Arc::new(Tenants::new(control, connections));
    tenants.refresh().await.unwrap();
    let broker = MemoryBroker::new();
    let (publisher, _) = Queue::Memory(broker.clone()).publisher("test", &[]);
    let (telemetry, drain) = (Telemetry::new(clock), CancellationToken::new());
    tokio::spawn(telemetry.clone().probe(Probes {
        tenants: tenants.clone(),
        publisher,
        receiving: None,
        queues: vec!["default".into()],
        drain: drain.clone(),
    }));
    Watched { manual, broker, tenants, telemetry, drain, _folder: folder }
}

impl Watched {
    fn report(&self) -> Value {
        serde_json::to_value(self.telemetry.readiness.report()).unwrap()
    }

    async fn becomes(&self, status: &str) -> Value {
        eventually(&format!("it is {status}"), || async {
            Some(self.report()).filter(|report| report["status"] == status)
        })
        .await
    }
}

#[tokio::test]
async fn a_blocked_broker_degrades_a_process_and_a_lost_one_makes_it_not_ready() {
    let watched = watched(0).await;
    watched.becomes("ready").await;
    watched.broker.set_state(BrokerState::Blocked);
    assert_eq!(watched.becomes("degraded").await["broker"]["status"], "blocked");
    watched.broker.set_state(BrokerState::Closed);
    // A process stays in service until the broker has not answered for ten seconds.
    watched.manual.advance(Duration::from_secs(9));
    assert_ne!(watched.report()["status"], "not ready");
    watched.manual.advance(Duration::from_secs(1));
    let report = watched.becomes("not ready").await;
    assert_eq!(report["broker"]["status"], "lost");
    watched.broker.set_state(BrokerState::Open);
    eventually("the next probe finds it open", || async {
        watched.manual.advance(Duration::from_millis(100));
        (watched.report()["status"] == "ready").then_some(())
    })
    .await;
    watched.drain.cancel();
    watched.becomes("stopping").await;
}

#[tokio::test]
async fn unavailable_tenants_are_counted_and_the_first_are_listed_without_secrets() {
    let watched = watched(30).await;
    watched.becomes("ready").await;
    for open in watched.tenants.all().values() {
        let quoted = "no route to postgres://ann:s3cret@db/x";
        let error = sqlx::Error::Io(std::io::Error::other(quoted));
        open.health.failed(open.slug(), &StoreError::Unreachable(error));
    }
    let report = watched.becomes("degraded").await;
    assert_eq!(report["tenants"]["known"], 30);
    assert_eq!(report["tenants"]["unhealthy_count"], 30);
    let listed = report["tenants"]["unhealthy"].as_array().unwrap();
    assert_eq!(listed.len(), 20);
    assert_eq!(listed[0]["tenant"], "t00");
    assert!(listed[0]["reason"].as_str().unwrap().contains("no route to"), "{report}");
    assert!(!report.to_string().contains("s3cret"), "{report}");
}
