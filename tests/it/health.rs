//! Health reports the state of the loops, the broker, the control database and the tenants.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use polychron_tests::{Answer, Process, Proxy, System, address_in, free_address, get};
use rustix::process::Signal;
use serde_json::json;
use shared::clock::Clock;
use shared::store::NewJob;
use testkit::eventually;

/// How long a loss may go unnoticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

/// Waits until `/health/ready` answers with this code and status.
async fn ready(address: SocketAddr, code: u16, status: &str) -> Answer {
    eventually(&format!("{address} is {status}"), || async {
        let answer = get(address, "/health/ready").await?;
        (answer.status == code && answer.json()["status"] == status).then_some(answer)
    })
    .await
}

async fn assert_live(address: SocketAddr) {
    let answer = get(address, "/health/live").await.expect("it answers at once");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A producer and a consumer, and the addresses of their health.
fn both(system: &System, settings: &[(&str, &str)]) -> ([SocketAddr; 2], [Process; 2]) {
    let addresses = [free_address(), free_address()];
    let [producer, consumer] = addresses.map(|address| address.to_string());
    let [for_producer, for_consumer] = [&producer, &consumer]
        .map(|http| [settings, &[("POLYCHRON_HTTP", http.as_str())]].concat());
    let processes = [system.producer(&for_producer), system.consumer(&for_consumer)];
    (addresses, processes)
}

/// Breaks the path in each way. Both processes must notice it in time, name it, stay alive, and
/// recover.
#[expect(clippy::print_stdout, reason = "how soon it is noticed is worth seeing")]
async fn goes_red_and_green(proxy: &Proxy, addresses: [SocketAddr; 2], part: &str) {
    for address in addresses {
        let report = ready(address, 200, "ready").await.json();
        assert_eq!(report[part], json!({"status": "ok"}));
    }
    for fault in [Proxy::blackhole, Proxy::refuse] {
        let before = Clock::System.boot_time();
        fault(proxy);
        for address in addresses {
            let report = ready(address, 503, "not ready").await.json();
            let noticed = Clock::System.boot_time() - before;
            println!("the loss of the {part} was noticed after {noticed:?}");
            assert!(noticed <= NOTICED_WITHIN, "noticed after {noticed:?}: {report}");
            assert_eq!(report[part]["status"], "lost", "{report}");
            assert!(report[part]["reason"].is_string(), "{report}");
            assert!(!report.to_string().contains("guest:"), "{report}");
            assert!(!report.to_string().contains("postgres:postgres"), "{report}");
            let other = if part == "broker" { "control" } else { "broker" };
            assert_eq!(report[other]["status"], "ok", "{report}");
            assert_live(address).await;
        }
        proxy.heal();
        let before = Clock::System.boot_time();
        for address in addresses {
            ready(address, 200, "ready").await;
            println!("and its return after {:?}", Clock::System.boot_time() - before);
        }
    }
}

#[tokio::test]
async fn a_lost_broker_makes_health_red_until_it_is_back() {
    let system = System::new(1).await;
    let proxy = Proxy::start(address_in(&system.amqp_url)).await;
    let url = proxy.url(&system.amqp_url);
    let (addresses, _running) = both(&system, &[("AMQP_URL", &url)]);
    goes_red_and_green(&proxy, addresses, "broker").await;
}

#[tokio::test]
async fn a_lost_control_database_makes_health_red_until_it_is_back() {
    let system = System::new(1).await;
    let proxy = Proxy::start(address_in(system.control_url())).await;
    let url = proxy.url(system.control_url());
    let (addresses, _running) = both(&system, &[("DATABASE_URL", &url)]);
    goes_red_and_green(&proxy, addresses, "control").await;
}

#[tokio::test]
async fn without_a_control_database_a_process_is_alive_but_not_ready() {
    let system = System::new(0).await;
    let proxy = Proxy::start(address_in(system.control_url())).await;
    proxy.refuse();
    let url = proxy.url(system.control_url());
    let (addresses, _running) = both(&system, &[("DATABASE_URL", &url)]);
    for address in addresses {
        ready(address, 503, "not ready").await;
        assert_live(address).await;
    }
    proxy.heal();
    for address in addresses {
        ready(address, 200, "ready").await;
    }
}

#[tokio::test]
async fn an_unreachable_tenant_makes_health_amber_and_is_named() {
    let system = System::new(2).await;
    let tenant = &system.tenants[0];
    let proxy = system.proxy_tenant(tenant).await;
    let job = NewJob::new("every-second", "noop", json!({"every": "1s"}));
    tenant.store.insert_job(&job).await.unwrap();
    let ([producer, _], _running) = both(&system, &[]);
    let report = ready(producer, 200, "ready").await.json();
    assert_eq!(report["tenants"], json!({"known": 2, "unhealthy_count": 0, "unhealthy": []}));
    let healthy = r#"polychron_tenants{health="healthy"}"#;
    assert_eq!(get(producer, "/metrics").await.unwrap().figure(healthy), 2.0);

    proxy.blackhole();
    let report = ready(producer, 200, "degraded").await.json();
    assert_eq!(report["tenants"]["unhealthy_count"], 1, "{report}");
    assert_eq!(report["tenants"]["unhealthy"][0]["tenant"], "t0", "{report}");
    let reason = report["tenants"]["unhealthy"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("did not answer within"), "{reason}");
    let figures = get(producer, "/metrics").await.unwrap();
    assert_eq!(figures.figure(r#"polychron_tenants{health="ailing"}"#), 1.0);
    assert_eq!(figures.figure(healthy), 1.0);

    proxy.heal();
    ready(producer, 200, "ready").await;
}

#[tokio::test]
async fn health_answers_while_every_handler_blocks_its_thread() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    for n in 0..4 {
        let mut job = NewJob::new(&format!("block-{n}"), "block", polychron_tests::due_now());
        (job.payload, job.timeout_seconds) = (json!({"seconds": 8}), Some(1));
        job.max_attempts = 1;
        tenant.store.insert_job(&job).await.unwrap();
    }
    let ([_, consumer], _running) = both(&system, &[("POLYCHRON_PREFETCH", "2")]);
    eventually("both slots are held by handlers that will not stop", || async {
        let figures = get(consumer, "/metrics").await?;
        let stuck = figures.figure("polychron_handlers_stuck");
        (stuck == 2.0 && figures.figure("polychron_slots_in_use") == 2.0).then_some(())
    })
    .await;
    assert_live(consumer).await;
    ready(consumer, 200, "ready").await;
    eventually("they have returned", || async {
        let figures = get(consumer, "/metrics").await?;
        let timeouts = r#"polychron_executions_finished_total{status="failed",error_kind="timeout",job_type="block"}"#;
        let free = figures.figure("polychron_handlers_stuck") == 0.0
            && figures.figure("polychron_slots_in_use") == 0.0;
        (free && figures.figure(timeouts) == 4.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_stopping_is_alive_but_not_ready() {
    let system = System::new(1).await;
    system.tenants[0].store.insert_job(&system.record_job("long", 4.0)).await.unwrap();
    let ([_, consumer], [_producer, process]) = both(&system, &[]);
    eventually("the handler starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    process.signal(Signal::TERM);
    ready(consumer, 503, "stopping").await;
    assert_live(consumer).await;
}

#[tokio::test]
async fn an_address_in_use_is_a_configuration_error() {
    let system = System::new(0).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [("POLYCHRON_HTTP", address.as_str())];
    for mut process in [system.producer(&settings), system.consumer(&settings)] {
        assert_eq!(process.ended().await.code(), Some(2));
        let log = process.log();
        assert!(log.contains("POLYCHRON_HTTP") && log.contains(&address), "{log}");
        assert_eq!(log.lines().count(), 2, "nothing has started: {log}");
    }
}

#[tokio::test]
async fn a_process_that_is_idle_or_full_for_a_minute_is_alive() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    tenant.store.insert_job(&system.record_job("long", 70.0)).await.unwrap();
    let settings = [
        ("POLYCHRON_PREFETCH", "1"),
        ("POLYCHRON_QUEUES", "default,second,third"),
        ("POLYCHRON_POLL_INTERVAL", "1s"),
    ];
    let (addresses, _running) = both(&system, &settings);
    eventually("the long one starts", || async { (!system.records().is_empty()).then_some(()) })
        .await;
    // Delivered from the other queues, they wait for the slot.
    for queue in ["second", "third"] {
        let next = NewJob { queue: queue.into(), ..system.record_job(queue, 0.0) };
        tenant.store.insert_job(&next).await.unwrap();
    }
    let waits = [300, 550].map(Some).into_iter().chain([None]);
    for ticks in waits {
        eventually(&format!("{ticks:?} ticks of the long one, or its end"), || async {
            let records = system.records();
            let of_long = records.iter().filter(|record| record.event == "tick").count();
            let ended = records.iter().filter(|record| record.event == "end").count();
            for address in addresses {
                let answer = get(address, "/health/live").await?;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            (ticks.is_some_and(|ticks| of_long >= ticks) || ended == 3).then_some(())
        })
        .await;
    }
}
