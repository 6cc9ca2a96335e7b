//! The job type `notification`.

use polychron_consumer::testing::FakeContext;
use serde_json::{Value, json};

use crate::known;
use crate::peer::{Peer, text};

/// The body that is sent for a payload with these fields besides its URL.
async fn sent(fields: Value) -> Value {
    let peer = Peer::start("127.0.0.1", &[text("200 OK", "", "")]).await;
    let mut payload = json!({"url": peer.url("/hook")});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let registry = known(&[("POLYCHRON_HTTP_ALLOW", "127.0.0.1")]);
    let context = FakeContext::new().tenant("acme");
    context.run_type(&registry, "notification", payload).await.result();
    let request = &peer.requests()[0];
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_notification_is_sent_under_the_key_of_today_and_the_one_before() {
    let failed = json!({"event": "failed", "job": "invoices"});
    let wanted = json!({"event": "failed", "job": "invoices", "tenant": "acme"});
    assert_eq!(sent(json!({ "notification": failed })).await, wanted);
    assert_eq!(sent(json!({ "news": failed })).await, wanted);
}

#[tokio::test]
async fn a_manual_run_sends_a_test() {
    assert_eq!(sent(json!({"on": ["failed"]})).await, json!({"event": "test", "tenant": "acme"}));
}
