//! The job type `amqp`.

use polychron_consumer::testing::{FakeContext, Ran};
use serde_json::{Value, json};
use shared::outcome::Outcome;
use testkit::{eventually, management, virtual_host};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::known;

/// A virtual host with the exchange `work`, and the queue `todo` bound to it by `do`.
async fn broker() -> (String, String) {
    let url = virtual_host().await;
    let (_, name) = url.rsplit_once('/').unwrap();
    let name = name.to_owned();
    for exchange in ["work", "acme.work"] {
        let direct = r#"{"type":"direct","durable":true}"#;
        management("PUT", &format!("/api/exchanges/{name}/{exchange}"), direct).await;
    }
    management("PUT", &format!("/api/queues/{name}/todo"), r#"{"durable":true}"#).await;
    let bind = format!("/api/bindings/{name}/e/work/q/todo");
    management("POST", &bind, r#"{"routing_key":"do"}"#).await;
    (url, name)
}

async fn publish(url: &str, payload: Value) -> Ran {
    let settings = [("AMQP_URL", url), ("POLYCHRON_EXCHANGES", "work,gone,{tenant}.work")];
    FakeContext::new().tenant("acme").run_type(&known(&settings), "amqp", payload).await
}

async fn connections(name: &str) -> usize {
    let all: Value =
        serde_json::from_str(&management("GET", "/api/connections", "").await).unwrap();
    let all = all.as_array().unwrap();
    all.iter().filter(|connection| connection["vhost"] == name).count()
}

#[tokio::test]
async fn a_job_succeeds_once_its_message_is_in_the_queue() {
    let (url, name) = broker().await;
    let payload = json!({"exchange": "work", "routing_key": "do", "body": {"invoice": 7},
                         "headers": {"priority": "low"}});
    let ran = publish(&url, payload).await;
    assert_eq!(ran.result()["confirmed"], true);
    let get = r#"{"count":5,"ackmode":"ack_requeue_false","encoding":"auto"}"#;
    let got = management("POST", &format!("/api/queues/{name}/todo/get"), get).await;
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got.as_array().unwrap().len(), 1);
    let (message, properties) = (&got[0], &got[0]["properties"]);
    assert_eq!(message["payload"], r#"{"invoice":7}"#);
    assert_eq!(properties["delivery_mode"], 2);
    assert_eq!(properties["content_type"], "application/json");
    assert_eq!(properties["message_id"], ran.result()["message_id"]);
    assert_eq!(properties["headers"]["priority"], "low");
    assert_eq!(properties["headers"]["polychron-tenant"], "acme");
    eventually("the connection is closed", || async {
        (connections(&name).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_that_reaches_no_queue_is_a_failure() {
    let (url, _) = broker().await;
    for (exchange, key, problem, retry) in [
        ("work", "undone", "no queue for it", true),
        ("acme.work", "do", "no queue for it", true),
        ("gone", "do", "NOT_FOUND", true),
        ("globex.work", "do", "not listed in POLYCHRON_EXCHANGES", false),
        ("{tenant}.work", "do", "not listed in POLYCHRON_EXCHANGES", false),
        ("polychron.jobs", "default", "not listed in POLYCHRON_EXCHANGES", false),
        ("", "polychron.jobs.default", "not listed in POLYCHRON_EXCHANGES", false),
        ("work", &"x".repeat(300), "longer than 255", false),
    ] {
        let ran = publish(&url, json!({"exchange": exchange, "routing_key": key})).await;
        let failure = ran.failure();
        assert!(failure.message.contains(problem), "{exchange}/{key}: {failure:?}");
        assert_eq!(failure.retry, retry, "{exchange}/{key}");
    }
}

#[tokio::test]
async fn an_unreachable_or_unresponsive_broker_fails_one_attempt() {
    let ran = publish("amqp://guest:s3cret-s3cret@127.0.0.1:1", json!({"exchange": "work"})).await;
    assert!(ran.failure().retry && !format!("{ran:?}").contains("s3cret"), "{ran:?}");

    let unresponsive = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://127.0.0.1:{}", unresponsive.local_addr().unwrap().port());
    let cancel = CancellationToken::new();
    let settings = [("AMQP_URL", url.as_str()), ("POLYCHRON_EXCHANGES", "work")];
    let registry = known(&settings);
    let context = FakeContext::new().cancel_by(cancel.clone());
    let publishing = context.run_type(&registry, "amqp", json!({"exchange": "work"}));
    let stopping = async {
        let (mut stream, _) = unresponsive.accept().await.unwrap();
        cancel.cancel();
        // Returns when the client closes the connection.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    };
    let (ran, ()) = tokio::join!(publishing, stopping);
    assert_eq!(ran.outcome, Outcome::Cancelled);
    assert!(publish(&url, json!({"exchange": "work"})).await.failure().retry);
}
