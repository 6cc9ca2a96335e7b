//! Producers divide the tenants; when one of them dies or leaves, the others have all of them soon,
//! and nothing is missed.

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
/// How soon the tenants of a dead one must go on: 15 s, and the next occurrence.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(20);
/// And those of one that was asked to stop: sooner than its silence would be noticed.
const LEFT_WITHIN: Duration = Duration::from_secs(9);

/// Adds a tenant in an SQLite file, with a job that is due every other second.
async fn add_busy_tenant(system: &mut System, connections: &Connections, n: usize) {
    // In the order of the list.
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

/// Waits until this one watches all tenants, and what comes due now is dispatched at each of them.
async fn all_go_on(system: &System, producer: &Producer) {
    eventually("one watches all", || async { (producer.watched().await == TENANTS).then_some(()) })
        .await;
    let now = Clock::System.wall_time();
    for tenant in &system.tenants {
        eventually("what comes due is dispatched", || async {
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

    /// How many tenants it watches; none while it doesn't say.
    async fn watched(&self) -> usize {
        let answer = get(self.address, "/metrics").await;
        answer.map_or(0, |answer| answer.figure("polychron_tenants_watched") as usize)
    }
}

#[tokio::test]
async fn producers_divide_the_tenants_and_take_over_what_one_leaves() {
    let mut system = System::new(0).await;
    let connections = Connections::new(Clock::System, 100);
    for n in 0..TENANTS {
        add_busy_tenant(&mut system, &connections, n).await;
    }
    let _consumer = system.consumer(&[("POLYCHRON_PREFETCH", "50")]);
    let (first, second) = (Producer::start(&system), Producer::start(&system));
    eventually("each tenant has one watcher", || async {
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
    all_go_on(&system, &first).await;
    let took = Clock::System.boot_time() - killed;
    assert!(took < HANDED_OVER_WITHIN, "{took:?}");

    let third = Producer::start(&system);
    eventually("a newcomer has its share", || async {
        let watched = [first.watched().await, third.watched().await];
        (watched.iter().sum::<usize>() == TENANTS && watched.iter().all(|few| *few > 5))
            .then_some(())
    })
    .await;
    let asked = Clock::System.boot_time();
    first.process.signal(Signal::TERM);
    all_go_on(&system, &third).await;
    let took = Clock::System.boot_time() - asked;
    assert!(took < LEFT_WITHIN, "{took:?}");

    for tenant in &system.tenants {
        let statement = "UPDATE polychron_job SET is_enabled = 0";
        testkit::execute(&tenant.url, statement).await;
        eventually("all that was begun ends", || async {
            let rows = tenant.executions().await;
            rows.iter().all(|row| row.status.is_final()).then_some(())
        })
        .await;
        let rows = tenant.executions().await;
        let ran = rows.iter().filter(|row| row.status == Status::Success).count();
        // One each time that all went on; how many more is a matter of how long that took.
        assert!(ran >= 2, "{ran} of {}: {rows:#?}", rows.len());
    }
    system.check_occurrences().await;
}
