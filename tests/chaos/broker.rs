//! The broker restarts, loses its data, blocks, is unreachable, and is misconfigured.

use polychron_tests::{Proxy, System, address_in};
use testkit::{eventually, management, rabbitmqctl};

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

const JOBS: usize = 40;

fn vhost(system: &System) -> &str {
    system.amqp_url.rsplit_once('/').unwrap().1
}

async fn some_succeed(system: &System) {
    eventually("some have succeeded", || async {
        let rows = system.tenants[0].executions().await;
        rows.iter().any(|row| row.result.is_some()).then_some(())
    })
    .await;
}

/// Checks that the fault occurred while there was something to do.
async fn is_at_work(system: &System) {
    let rows = system.tenants[0].executions().await;
    let successes = rows.iter().filter(|row| row.result.is_some()).count();
    assert!(successes < JOBS, "all was over before");
}

#[tokio::test]
async fn broker_restarts() {
    let system = System::new(1).await;
    add_jobs(&system, JOBS, 3.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    some_succeed(&system).await;
    rabbitmqctl(&["stop_app"]).await;
    rabbitmqctl(&["start_app"]).await;
    is_at_work(&system).await;
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn broker_loses_everything() {
    let system = System::new(1).await;
    add_jobs(&system, JOBS, 3.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    some_succeed(&system).await;
    // As if its data were lost: the operator only creates the virtual host again.
    management("DELETE", &format!("/api/vhosts/{}", vhost(&system)), "").await;
    testkit::make_virtual_host(vhost(&system)).await;
    is_at_work(&system).await;
    all_succeed(&system, JOBS).await;
}

/// `rabbitmqctl reset` deletes users, virtual hosts, queues and messages. The operator only creates the
/// virtual host again.
#[tokio::test]
async fn broker_is_reset() {
    let system = System::new(1).await;
    add_jobs(&system, JOBS, 3.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    some_succeed(&system).await;
    for verb in ["stop_app", "reset", "start_app"] {
        rabbitmqctl(&[verb]).await;
    }
    testkit::make_virtual_host(vhost(&system)).await;
    is_at_work(&system).await;
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn connections_are_closed_repeatedly() {
    let system = System::new(1).await;
    add_jobs(&system, JOBS, 3.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]));
    some_succeed(&system).await;
    for _ in 0..3 {
        rabbitmqctl(&["close_all_connections", "-p", vhost(&system), "chaos"]).await;
        shared::clock::Clock::System.sleep(std::time::Duration::from_millis(500)).await;
    }
    is_at_work(&system).await;
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn memory_alarm_delays_publishing_and_loses_nothing() {
    let system = System::new(1).await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("connected to the broker for publishing").await;
    rabbitmqctl(&["set_vm_memory_high_watermark", "0.0001"]).await;
    add_jobs(&system, JOBS, 0.0).await;
    let blocked = producer.logged("the broker takes no messages");
    let blocked = tokio::time::timeout(std::time::Duration::from_secs(60), blocked).await;
    rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    blocked.unwrap();
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn disk_alarm_delays_publishing_but_not_a_stop() {
    let system = System::new(1).await;
    let (mut producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("connected to the broker for publishing").await;
    rabbitmqctl(&["set_disk_free_limit", "2000GB"]).await;
    add_jobs(&system, JOBS, 0.0).await;
    let blocked = producer.logged("the broker takes no messages");
    let blocked = tokio::time::timeout(std::time::Duration::from_secs(60), blocked).await;
    producer.signal(rustix::process::Signal::TERM);
    let stopped = producer.ended().await;
    rabbitmqctl(&["set_disk_free_limit", "50MB"]).await;
    blocked.unwrap();
    assert!(stopped.success(), "{stopped}");
    let _producer = system.producer(&[]);
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn acknowledgement_timeout_neither_stops_nor_repeats_a_job() {
    let system = System::new(1).await;
    let set = "application:set_env(rabbit,consumer_timeout,4000), application:set_env(rabbit,channel_tick_interval,1000).";
    rabbitmqctl(&["eval", set]).await;
    add_jobs(&system, 8, 9.0).await;
    let (_producer, consumer) = (system.producer(&[]), system.consumer(&[]));
    consumer.logged("no connection to the broker for receiving").await;
    let undo = "application:set_env(rabbit,consumer_timeout,1800000), application:set_env(rabbit,channel_tick_interval,60000).";
    rabbitmqctl(&["eval", undo]).await;
    all_succeed(&system, 8).await;
    assert_eq!(system.tenants[0].executions().await.len(), 8, "none ran twice");
}

#[tokio::test]
async fn queue_is_full() {
    // Few jobs, since only two get through at a time.
    const JOBS: usize = 20;
    let system = System::new(1).await;
    let policy = format!("/api/policies/{}/small", vhost(&system));
    let body = r#"{"pattern": "^polychron", "definition": {"max-length": 2, "overflow": "reject-publish"}, "apply-to": "queues"}"#;
    management("PUT", &policy, body).await;
    add_jobs(&system, JOBS, 0.05).await;
    let _producer = system.producer(&[]);
    eventually("what the queue refuses stays unpublished", || async {
        let rows = system.tenants[0].executions().await;
        let unpublished = rows.iter().filter(|row| row.published_at.is_none()).count();
        (rows.len() > 4 && unpublished > 0).then_some(())
    })
    .await;
    let _consumer = system.consumer(&[LEASE]);
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn queue_with_other_arguments_is_named() {
    let system = System::new(1).await;
    let path = format!("/api/queues/{}/polychron.jobs.default", vhost(&system));
    management("PUT", &path, r#"{"durable": true, "arguments": {"x-queue-type": "classic"}}"#)
        .await;
    add_jobs(&system, 3, 0.0).await;
    let (producer, consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("inequivalent arg 'x-queue-type'").await;
    consumer.logged("inequivalent arg 'x-queue-type'").await;
    management("DELETE", &path, "").await;
    all_succeed(&system, 3).await;
}

#[tokio::test]
async fn permission_is_revoked_and_given_back() {
    let system = System::new(1).await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("connected to the broker for publishing").await;
    rabbitmqctl(&["set_permissions", "-p", vhost(&system), "guest", "^$", "^$", "^$"]).await;
    rabbitmqctl(&["close_all_connections", "-p", vhost(&system), "chaos"]).await;
    producer.logged("ACCESS_REFUSED").await;
    add_jobs(&system, JOBS, 0.0).await;
    rabbitmqctl(&["set_permissions", "-p", vhost(&system), "guest", ".*", ".*", ".*"]).await;
    all_succeed(&system, JOBS).await;
}

/// Breaks the path to the broker for a while in the given way.
async fn path_is_spoilt(spoil: impl Fn(&Proxy), seconds: u64) {
    let system = System::new(1).await;
    let proxy = Proxy::start(address_in(&system.amqp_url)).await;
    let url = proxy.url(&system.amqp_url);
    let amqp = ("AMQP_URL", url.as_str());
    let _running = (system.producer(&[amqp]), system.consumer(&[LEASE, amqp]));
    add_jobs(&system, JOBS, 0.1).await;
    some_succeed(&system).await;
    spoil(&proxy);
    shared::clock::Clock::System.sleep(std::time::Duration::from_secs(seconds)).await;
    proxy.heal();
    all_succeed(&system, JOBS).await;
}

#[tokio::test]
async fn path_to_the_broker_drops_everything() {
    path_is_spoilt(Proxy::blackhole, 25).await;
}

#[tokio::test]
async fn path_to_the_broker_is_half_open() {
    use polychron_tests::Path;
    path_is_spoilt(|proxy| proxy.set(Path::Pass, Path::Blackhole), 25).await;
}

#[tokio::test]
async fn path_to_the_broker_is_slow() {
    use polychron_tests::Path;
    use std::time::Duration;
    let slow = Path::Delay(Duration::from_secs(1));
    path_is_spoilt(move |proxy| proxy.set(slow, slow), 15).await;
}
