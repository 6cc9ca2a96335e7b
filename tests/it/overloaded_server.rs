//! A PostgreSQL server with too many tenants to poll each of them every time. Its statistics tell which
//! databases have changed, and a wake takes effect without waiting for them.

use std::time::Duration;

use polychron_tests::{System, free_address, get};
use shared::clock::Clock;
use shared::id::TenantId;
use shared::queue::{BrokerState, Queue};
use shared::random::Random;
use shared::tenant::{Tenant, TenantStatus};
use testkit::{eventually, eventually_within, execute};

/// So many that polling all of them takes ten times the poll interval, and that statistics without a
/// change are believed for twenty seconds or more.
const TENANTS: usize = 60;
/// Much less than that.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Adds tenants whose databases are missing, on the first one's server.
async fn add_unreachable_tenants(system: &System) {
    let (now, random) = (Clock::System.wall_time(), Random::system());
    for n in 1..TENANTS {
        let url = format!("{}_{n}", system.tenants[0].url.expose());
        let tenant = Tenant {
            id: TenantId::new(now, &random),
            slug: format!("unreachable-{n}"),
            name: String::new(),
            status: TenantStatus::Active,
            database_url: url.parse().unwrap(),
            schema: None,
            max_running: None,
            created_at: now,
            updated_at: now,
        };
        system.control.insert_tenant(&tenant).await.unwrap();
    }
}

#[tokio::test]
async fn a_wake_takes_effect_although_the_statistics_show_no_change() {
    let system = System::new(1).await;
    add_unreachable_tenants(&system).await;
    let address = free_address();
    let settings = [("POLYCHRON_HTTP", &*address.to_string()), ("POLYCHRON_POLL_INTERVAL", "1s")];
    let _producer = system.producer(&settings);
    // The set-up's writes are reported when its session ends, before the statistics are first read.
    system.tenants[0].store.close_idle();
    eventually("polls are skipped", || async {
        let skipped = get(address, "/metrics").await?.figure("polychron_polls_skipped_total");
        (skipped >= 10.0).then_some(())
    })
    .await;
    let tenant = &system.tenants[0];
    let insert = r#"INSERT INTO polychron_job(name, job_type, schedule) VALUES ('a', 'noop', '{"every":"1h"}')"#;
    let uncounted = format!("{}?options[track_counts]=off", tenant.url.expose());
    execute(&uncounted.parse().unwrap(), insert).await;

    let (publisher, driver) =
        Queue::Rabbit(system.amqp_url.parse().unwrap()).publisher("test", &[]);
    let _driving = tokio::spawn(driver);
    let mut state = publisher.state();
    state.wait_for(|state| *state == BrokerState::Open).await.unwrap();
    let id = system.control.find_tenant(&tenant.slug).await.unwrap().unwrap().id;
    publisher.wake(id).await;
    eventually_within(AT_ONCE, "the new job is armed", || async {
        tenant.store.poll().await.unwrap().next_due_at
    })
    .await;
}
