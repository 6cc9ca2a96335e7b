//! Producers divide the tenants among themselves. When one dies or stops, the others take over its
//! tenants, and nothing is missed.

use std::net::SocketAddr;
use std::time::Duration;

use polychron_tests::{Process, System, add_tenant, free_address, get};
use rustix::process::Signal;
use serde_json::json;
use shared::clock::Clock;
use shared::execution::Status;
use shared::job::OverlapPolicy;
use shared::store::{Connections, NewJob};
use testkit::eventually;

const TENANTS: usize = 40;
/// How soon a killed producer's tenants must go on: 15 s, and the next occurrence.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
/// How soon those of a stopped one must: sooner than its silence would be noticed.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(9);

/// Adds a tenant in an SQLite file, with a job that is due every other second.
async fn add_busy_tenant(system: &mut System, connections: &Connections, n: usize) {
    // Slugs in alphabetical order, as tenants are listed.
    let slug = format!("t{n:02}");
    let url = system.folder.sqlite_database(&format!("{slug}.db"));
    let tenant = add_tenant(&system.control, connections, slug, url).await;
    let job = NewJob {
        overlap_policy: OverlapPolicy::Allow,
        payload: json!({"file": system.record_file(), "seconds": 0}),
        ..NewJob::new("job", "record", json!({"every": "2s"}))
    };
    tenant.store.insert_job(&job).await.unwrap();
    system.tenants.push(tenant);
}

/// Waits until this producer watches all tenants and each of them has dispatched an occurrence.
async fn wait_for_all(system: &System, producer: &Producer) {
    eventually("one producer watches all tenants", || async {
        (producer.watched().await == TENANTS).then_some(())
    })
    .await;
    let now = Clock::System.wall_time();
    for tenant in &system.tenants {
        eventually("the next occurrence is dispatched", || async {
            let rows = tenant.executions().await;
            rows.iter().any(|row| row.scheduled_for > now).then_some(())
        })
        .await;
    }
}

struct Producer {
    process: Process,
    address: SocketAddr,
}

impl Producer {
    fn start(system: &System) -> Producer {
        let address = free_address();
        let process = system.producer(&[("POLYCHRON_HTTP", &address.to_string())]);
        Producer { process, address }
    }

    /// How many tenants it watches; zero while it does not answer.
    async fn watched(&self) -> usize {
        let answer = get(self.address, "/metrics").await;
        answer.map_or(0, |answer| answer.figure("polychron_tenants_watched") as usize)
    }
}

#[tokio::test]
async fn producers_divide_the_tenants_and_take_over_those_of_one_that_leaves() {
    let mut system = System::new(0).await;
    let connections = Connections::new(Clock::System, 100);
    for n in 0..TENANTS {
        add_busy_tenant(&mut system, &connections, n).await;
    }
    let _consumer = system.consumer(&[("POLYCHRON_PREFETCH", "50")]);
    let (first, second) = (Producer::start(&system), Producer::start(&system));
    eventually("each tenant has one producer", || async {
        let watched = [first.watched().await, second.watched().await];
        (watched.iter().sum::<usize>() == TENANTS && watched.iter().all(|few| *few > 5))
            .then_some(())
    })
    .await;
    let registered = system.control.now().await.unwrap() - Duration::from_secs(10);
    let registered = system.control.list_producers(registered).await.unwrap();
    assert_eq!(registered.len(), 2);

    let killed = Clock::System.boot_time();
    second.process.kill();
    wait_for_all(&system, &first).await;
    let took = Clock::System.boot_time() - killed;
    assert!(took < TAKEN_OVER_WITHIN, "{took:?}");

    let third = Producer::start(&system);
    eventually("a new producer has its partition", || async {
        let watched = [first.watched().await, third.watched().await];
        (watched.iter().sum::<usize>() == TENANTS && watched.iter().all(|few| *few > 5))
            .then_some(())
    })
    .await;
    let stopped_at = Clock::System.boot_time();
    first.process.signal(Signal::TERM);
    wait_for_all(&system, &third).await;
    let took = Clock::System.boot_time() - stopped_at;
    assert!(took < HANDED_OVER_WITHIN, "{took:?}");

    for tenant in &system.tenants {
        let statement = "UPDATE polychron_job SET is_enabled = 0";
        testkit::execute(&tenant.url, statement).await;
        eventually("everything has ended", || async {
            let rows = tenant.executions().await;
            rows.iter().all(|row| row.status.is_final()).then_some(())
        })
        .await;
        let rows = tenant.executions().await;
        let ran = rows.iter().filter(|row| row.status == Status::Success).count();
        // At least one for each time we waited for all; how many more depends on how long that took.
        assert!(ran >= 2, "{ran} of {}: {rows:#?}", rows.len());
    }
    system.check_occurrences().await;
}
