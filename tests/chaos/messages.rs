//! Messages are duplicated, late, out of order, forged, or garbage.

use polychron_tests::System;
use serde_json::json;
use shared::execution::Status;
use testkit::{eventually, management};

use crate::LEASE;
use crate::account::{add_jobs, all_succeed, is_accounted_for};

async fn publish(system: &System, body: &str) {
    let vhost = system.amqp_url.rsplit_once('/').unwrap().1;
    let message = json!({
        "properties": {}, "routing_key": "default", "payload": body, "payload_encoding": "string"
    });
    let path = format!("/api/exchanges/{vhost}/polychron.jobs/publish");
    management("POST", &path, &message.to_string()).await;
}

#[tokio::test]
async fn every_message_comes_ten_times_and_out_of_order() {
    const JOBS: usize = 10;
    let system = System::new(1).await;
    add_jobs(&system, JOBS, 0.3).await;
    let _producer = system.producer(&[]);
    let tenant = &system.tenants[0];
    let rows = eventually("all are dispatched", || async {
        let rows = tenant.executions().await;
        (rows.len() == JOBS).then_some(rows)
    })
    .await;
    let id = tenant.store.owner().await.unwrap().unwrap();
    let _consumers = (system.consumer(&[LEASE]), system.consumer(&[LEASE]));
    for _ in 0..10 {
        for row in rows.iter().rev() {
            publish(&system, &format!(r#"{{"v":1,"tenant":"{id}","execution":"{}"}}"#, row.id))
                .await;
        }
    }
    all_succeed(&system, JOBS).await;
    assert_eq!(tenant.executions().await.len(), JOBS, "nothing was started again");
}

#[tokio::test]
async fn garbage_is_buried_and_forgeries_have_no_effect() {
    let system = System::new(2).await;
    let (_producer, consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    consumer.logged("connected to the broker for receiving").await;
    let nobody = "01934b7e-0000-7000-8000-000000000001";
    let tenant = system.tenants[0].store.owner().await.unwrap().unwrap();
    let garbage = ["", "{}", "not json", r#"{"v":99}"#, &"x".repeat(100_000)];
    for body in garbage {
        publish(&system, body).await;
    }
    publish(&system, &format!(r#"{{"v":1,"tenant":"{nobody}","execution":"{nobody}"}}"#)).await;
    publish(&system, &format!(r#"{{"v":1,"tenant":"{tenant}","execution":"{nobody}"}}"#)).await;
    add_jobs(&system, 3, 0.0).await;
    all_succeed(&system, 3).await;
    // Names a row of one tenant as another's.
    let row = &system.tenants[1].executions().await[0];
    publish(&system, &format!(r#"{{"v":1,"tenant":"{tenant}","execution":"{}"}}"#, row.id)).await;
    let vhost = system.amqp_url.rsplit_once('/').unwrap().1;
    eventually("the garbage is in polychron.dead, and nothing else is anywhere", || async {
        let queues = management("GET", &format!("/api/queues/{vhost}"), "").await;
        let queues: serde_json::Value = serde_json::from_str(&queues).unwrap();
        let count = |name: &str| {
            let queue = queues.as_array()?.iter().find(|queue| queue["name"] == name)?;
            queue["messages"].as_u64()
        };
        let dead = count("polychron.dead") == Some(garbage.len() as u64);
        (dead && count("polychron.jobs.default") == Some(0)).then_some(())
    })
    .await;
    for tenant in &system.tenants {
        let rows = tenant.executions().await;
        assert!(rows.len() == 3 && rows.iter().all(|row| row.status == Status::Success));
    }
    is_accounted_for(&system).await;
}
