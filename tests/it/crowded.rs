//! A PostgreSQL server with too many tenants to look at each at every poll: its statistics tell whose
//! database has changed, and whoever sends a wake is not made to wait for them.

use std::time::Duration;

use polychron_tests::{System, free_address, get};
use shared::clock::Clock;
use shared::id::TenantId;
use shared::queue::{BrokerState, Queue};
use shared::random::Random;
use shared::tenant::{Tenant, TenantStatus};
use testkit::{eventually, eventually_within, execute};

/// So many that one look at each takes ten times the poll interval, and that a glance is believed for
/// twenty seconds and more.
const TENANTS: usize = 60;
/// Much sooner than that.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Lists tenants on the server of the first whose databases aren't there.
async fn crowd(system: &System) {
    let (now, random) = (Clock::System.wall_time(), Random::system());
    for n in 1..TENANTS {
        let url = format!("{}_{n}", system.tenants[0].url.expose());
        let tenant = Tenant {
            id: TenantId::new(now, &random),
            slug: format!("absent-{n}"),
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
async fn a_wake_is_followed_though_the_statistics_tell_nothing() {
    let system = System::new(1).await;
    crowd(&system).await;
    let address = free_address();
    let settings = [("POLYCHRON_HTTP", &*address.to_string()), ("POLYCHRON_POLL_INTERVAL", "1s")];
    let _producer = system.producer(&settings);
    // What setting it up has written is reported when the session ends, and seen by the first glances.
    system.tenants[0].store.close_idle();
    eventually("looks are spared", || async {
        let spared = get(address, "/metrics").await?.figure("polychron_polls_skipped_total");
        (spared >= 10.0).then_some(())
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
