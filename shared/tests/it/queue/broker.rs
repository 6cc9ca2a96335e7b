//! Cases that only a real broker has: returned messages, closed connections, deleted queues.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use shared::message::Outgoing;
use shared::queue::{AmqpUrl, BrokerState, Confirm, Queue, Wake, empty_dead, inspect, list_dead};
use testkit::{eventually, management};
use tokio::sync::Semaphore;

use super::{Broker, names, ready_becomes};

/// Makes a test of each case.
macro_rules! on_rabbit {
    ($($case:ident),+ $(,)?) => {
        mod rabbit {
            $( #[tokio::test] async fn $case() { crate::queue::limited(super::$case(crate::queue::Broker::rabbit().await)).await } )+
        }
    };
}

on_rabbit! {
    unroutable_messages_are_identified_among_many_in_flight,
    overlapping_batches_get_their_own_confirms,
    a_messages_headers_name_the_job_and_show_no_secret,
    names_too_long_for_amqp_affect_only_their_message,
    headers_that_lie_too_deep_affect_only_their_message,
    closed_connections_are_reopened,
    a_flood_of_wakes_for_one_tenant_loses_no_other_wake,
    a_deleted_queue_is_declared_again,
    a_receiver_raises_its_prefetch_when_slots_become_free,
    the_depth_of_a_missing_queue_is_none,
    unreadable_messages_are_bounded_listed_and_removed,
    processes_that_trim_at_once_keep_as_many_as_one,
    an_inspection_returns_the_version_or_the_error,
    rights_on_our_names_suffice_and_less_is_found_by_an_inspection,
}

async fn rights_on_our_names_suffice_and_less_is_found_by_an_inspection(broker: Broker) {
    let Queue::Rabbit(url) = broker.queue.clone() else { unreachable!() };
    let (vhost, user) = (&broker.vhost, format!("user_of_{}", broker.vhost));
    management("PUT", &format!("/api/users/{user}"), r#"{"password":"x","tags":""}"#).await;
    let grant = async |configure: &str, write: &str, read: &str| {
        let rights = serde_json::json!({"configure": configure, "write": write, "read": read});
        let path = format!("/api/permissions/{vhost}/{user}");
        management("PUT", &path, &rights.to_string()).await;
    };
    let address = url.to_string().replace("amqp://", &format!("amqp://{user}:x@"));
    let url: AmqpUrl = address.parse().unwrap();
    const OURS: &str = r"^polychron\..*";
    for (configure, write, read) in [
        (r"^polychron\.(jobs|dead).*", OURS, OURS),
        (OURS, r"^polychron\.jobs.*", OURS),
        (OURS, OURS, r"^polychron\.(jobs|wake).*"),
    ] {
        grant(configure, write, read).await;
        let error = inspect(&url, &names(&["default"])).await.unwrap_err();
        assert!(error.contains("ACCESS_REFUSED"), "{configure} {write} {read}: {error}");
    }
    grant(OURS, OURS, OURS).await;
    inspect(&url, &names(&["default"])).await.unwrap();
    let queue = Queue::Rabbit(url);
    let (publisher, driver) = queue.publisher("limited", &names(&["default"]));
    tokio::spawn(driver);
    publisher.state().wait_for(|state| *state == BrokerState::Open).await.unwrap();
    let (mut wakes, driver) = queue.wakes("limited wakes");
    tokio::spawn(driver);
    assert_eq!(wakes.next().await, Wake::All);
    let tenant = broker.message("x").message.tenant;
    publisher.wake(tenant).await;
    assert_eq!(wakes.next().await, Wake::Tenant(tenant));
    assert_eq!(publisher.bury(b"garbage".to_vec(), "why").await, Confirm::Confirmed);
    assert_eq!(broker.dead().await, ["garbage"]);
    management("DELETE", &format!("/api/users/{user}"), "").await;
}

async fn unroutable_messages_are_identified_among_many_in_flight(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    for every in [1, 2, 3, 97] {
        let messages: Vec<Outgoing> = (0..600)
            .map(|n| broker.message(if n % every == 0 { "nowhere" } else { "default" }))
            .collect();
        let expected: Vec<Confirm> = (0..600)
            .map(|n| if n % every == 0 { Confirm::Unroutable } else { Confirm::Confirmed })
            .collect();
        assert_eq!(publisher.publish(messages).await, expected, "every {every}");
    }
}

async fn unreadable_messages_are_bounded_listed_and_removed(broker: Broker) {
    let Queue::Rabbit(url) = broker.queue.clone() else { unreachable!() };
    assert!(list_dead(&url, 10).await.unwrap().is_empty(), "there is no queue yet");
    assert_eq!(empty_dead(&url).await, Ok(0));
    let publisher = broker.publisher(&["default"]).await;
    assert_eq!(publisher.dead_depth().await, Some(0));
    let hostile = "\u{1b}[2J\u{202e}".as_bytes().to_vec();
    assert_eq!(publisher.bury(hostile, "it is not a message").await, Confirm::Confirmed);
    assert_eq!(publisher.bury(vec![b'x'; 200_000], "it is too long").await, Confirm::Confirmed);
    // Listed twice: listing leaves them in their order.
    for _ in 0..2 {
        let found = list_dead(&url, 10).await.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].body, "\\u{1b}[2J\\u{202e}");
        assert_eq!(found[0].reason.as_deref(), Some("it is not a message"));
        assert_eq!((found[1].bytes, found[1].body.len()), (200_000, 1000));
    }
    for n in 0..1100 {
        let body = n.to_string().into_bytes();
        assert_eq!(publisher.bury(body, "it is not a message").await, Confirm::Confirmed);
    }
    let depth = publisher.dead_depth().await.unwrap();
    assert!((990..=1001).contains(&depth), "{depth}");
    let oldest = list_dead(&url, 1).await.unwrap().remove(0);
    assert_ne!(oldest.bytes, 200_000, "the oldest were removed");
    let removed = empty_dead(&url).await.unwrap();
    assert!((990..=1001).contains(&removed), "{removed}");
    assert_eq!(publisher.dead_depth().await, Some(0));
}

async fn headers_that_lie_too_deep_affect_only_their_message(broker: Broker) {
    let slots = Arc::new(Semaphore::new(5));
    let publisher = broker.publisher(&["default"]).await;
    for levels in [40, 1000, 20_000] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let message = format!(
            r#"{{"properties": {{"headers": {{"x": {open}{close}}}}}, "routing_key": "default",
                "payload": "deep", "payload_encoding": "string"}}"#
        );
        let path = format!("/api/exchanges/{}/polychron.jobs/publish", broker.vhost);
        management("POST", &path, &message).await;
    }
    publisher.publish(vec![broker.message("default")]).await;
    let mut receiver = broker.receiver(&["default"], &slots).await;
    for _ in 0..3 {
        let delivery = receiver.next().await;
        assert_eq!(delivery.body, b"deep");
        delivery.ack();
    }
    assert_ne!(receiver.next().await.body, b"deep");
}

async fn processes_that_trim_at_once_keep_as_many_as_one(broker: Broker) {
    const MOST: usize = 1000;
    let publishers = [
        broker.publisher(&["default"]).await,
        broker.publisher(&["default"]).await,
        broker.publisher(&["default"]).await,
    ];
    for _ in 0..MOST {
        let buried = publishers[0].bury(b"x".to_vec(), "it is not a message").await;
        assert_eq!(buried, Confirm::Confirmed);
    }
    // A client of the broker trims nothing, so that all of them see the same excess.
    let path = format!("/api/exchanges/{}/amq.default/publish", broker.vhost);
    let message = r#"{"properties": {}, "routing_key": "polychron.dead", "payload": "x", "payload_encoding": "string"}"#;
    for _ in 0..200 {
        management("POST", &path, message).await;
    }
    let [one, two, three] = &publishers;
    tokio::join!(one.dead_depth(), two.dead_depth(), three.dead_depth());
    // A returned message is back a moment later.
    eventually("the queue is at its bound", async || {
        (one.dead_depth().await == Some(MOST as u32)).then_some(())
    })
    .await;
}

async fn overlapping_batches_get_their_own_confirms(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let batches: Vec<_> = (0..30)
        .map(|n| {
            let messages = broker.messages("default", 10 + n * 5);
            let publisher = publisher.clone();
            tokio::spawn(async move { (messages.len(), publisher.publish(messages).await) })
        })
        .collect();
    let mut total = 0;
    for batch in batches {
        let (count, confirms) = batch.await.unwrap();
        assert_eq!(confirms, vec![Confirm::Confirmed; count]);
        total += count as u32;
    }
    ready_becomes(&publisher, "default", total).await;
}

async fn a_messages_headers_name_the_job_and_show_no_secret(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let outgoing = broker.message("default");
    publisher.publish(vec![outgoing.clone()]).await;
    ready_becomes(&publisher, "default", 1).await;
    let shown = broker.peek("polychron.jobs.default").await.remove(0);
    let execution = outgoing.message.execution.to_string();
    let tenant = outgoing.message.tenant;
    assert_eq!(
        shown["payload"],
        format!(r#"{{"v":1,"tenant":"{tenant}","execution":"{execution}"}}"#)
    );
    assert_eq!(shown["exchange"], "polychron.jobs");
    let properties = &shown["properties"];
    assert_eq!(properties["message_id"], execution);
    assert_eq!(properties["delivery_mode"], 2);
    assert_eq!(properties["content_type"], "application/json");
    let headers = properties["headers"].as_object().unwrap();
    for (name, value) in [
        ("tenant", "acme"),
        ("job", "nightly \"ä\""),
        ("job_type", "mail"),
        ("scheduled_for", "2026-11-24T12:00:00+00:00"),
        ("traceparent", &outgoing.message.traceparent()),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(headers["attempt"], 2);
    let known = [
        "tenant",
        "job",
        "job_type",
        "scheduled_for",
        "traceparent",
        "attempt",
        "x-delivery-count",
    ];
    assert!(headers.keys().all(|name| known.contains(&name.as_str())), "{headers:?}");
    let path = format!("/api/queues/{}/polychron.jobs.default", broker.vhost);
    let queue: Value = serde_json::from_str(&management("GET", &path, "").await).unwrap();
    assert_eq!((&queue["durable"], &queue["type"]), (&Value::Bool(true), &Value::from("quorum")));
    assert_eq!(queue["arguments"], serde_json::json!({"x-queue-type": "quorum"}));
}

async fn names_too_long_for_amqp_affect_only_their_message(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let long = "1".repeat(200_000);
    let mut messages = broker.messages("default", 3);
    messages[0].label.job_type = long.clone();
    messages[0].label.job = long.clone();
    messages[1].queue = long.clone();
    let expected = [Confirm::Confirmed, Confirm::Unroutable, Confirm::Confirmed];
    assert_eq!(publisher.publish(messages).await, expected);
    assert_eq!(publisher.depth(&long).await, None);
    assert_eq!(publisher.publish(broker.messages("default", 1)).await, [Confirm::Confirmed]);
    let shown = broker.peek("polychron.jobs.default").await.remove(0);
    assert_eq!(shown["properties"]["headers"]["job_type"], long[..255]);
}

/// Closes every connection of the virtual host, as an operator may in the management UI.
async fn close_connections(broker: &Broker, at_least: usize) {
    let path = format!("/api/vhosts/{}/connections", broker.vhost);
    let named = eventually("the connections are listed", || async {
        let listed: Vec<Value> = serde_json::from_str(&management("GET", &path, "").await).unwrap();
        let named: Vec<String> =
            listed.iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect();
        (named.len() >= at_least).then_some(named)
    })
    .await;
    for name in named {
        let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        management("DELETE", &format!("/api/connections/{name}"), "").await;
    }
}

async fn closed_connections_are_reopened(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let slots = Arc::new(Semaphore::new(3));
    let mut receiver = broker.receiver(&["default"], &slots).await;
    let (mut wakes, driver) = broker.queue.wakes("test wakes");
    tokio::spawn(driver);
    assert_eq!(wakes.next().await, Wake::All);
    let held = broker.message("default");
    publisher.publish(vec![held.clone()]).await;
    let delivery = receiver.next().await;
    let (mut publishing, mut receiving) = (publisher.state(), receiver.state());
    publishing.mark_unchanged();
    receiving.mark_unchanged();
    close_connections(&broker, 3).await;
    for state in [&mut publishing, &mut receiving] {
        state.changed().await.unwrap();
        state.wait_for(|state| *state == BrokerState::Open).await.unwrap();
    }
    assert_eq!(wakes.next().await, Wake::All, "wakes may have been lost meanwhile");
    // An acknowledgement on the closed connection has no effect.
    delivery.ack();
    let again = receiver.next().await;
    assert!(again.redelivered);
    assert_eq!(again.body, held.message.encode());
    again.ack();
    let fresh = broker.message("default");
    assert_eq!(publisher.publish(vec![fresh.clone()]).await, [Confirm::Confirmed]);
    let delivery = receiver.next().await;
    assert_eq!(delivery.body, fresh.message.encode());
    delivery.ack();
    publisher.wake(fresh.message.tenant).await;
    assert_eq!(wakes.next().await, Wake::Tenant(fresh.message.tenant));
}

async fn a_flood_of_wakes_for_one_tenant_loses_no_other_wake(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let (mut wakes, driver) = broker.queue.wakes("test wakes");
    tokio::spawn(driver);
    assert_eq!(wakes.next().await, Wake::All);
    let [flooded, other] = [(); 2].map(|()| broker.message("default").message.tenant);
    let mut received_until_other = async || {
        let mut received = vec![wakes.next().await];
        while received.last() != Some(&Wake::Tenant(other)) {
            received.push(wakes.next().await);
        }
        received
    };
    // More than wait in the publisher, which has no turn meanwhile.
    for _ in 0..2000 {
        publisher.wake(flooded).await;
    }
    publisher.wake(other).await;
    assert_eq!(received_until_other().await, [flooded, other].map(Wake::Tenant));
    // More than wait in the receiver: each is published before the next one.
    for _ in 0..600 {
        publisher.wake(flooded).await;
        publisher.depth("default").await;
    }
    publisher.wake(other).await;
    let received = received_until_other().await;
    assert!(!received.contains(&Wake::All), "the session has ended");
}

async fn a_deleted_queue_is_declared_again(broker: Broker) {
    let publisher = broker.publisher(&["default", "mail"]).await;
    let slots = Arc::new(Semaphore::new(3));
    let mut receiver = broker.receiver(&["default", "mail"], &slots).await;
    for deleted in ["default", "mail"] {
        let path = format!("/api/queues/{}/polychron.jobs.{deleted}", broker.vhost);
        management("DELETE", &path, "").await;
        // The publisher stays connected, so its messages are unroutable until then.
        let message = broker.message(deleted);
        eventually("the queue is there again", || async {
            let confirms = publisher.publish(vec![message.clone()]).await;
            assert!(
                matches!(confirms[..], [Confirm::Confirmed | Confirm::Unroutable]),
                "{confirms:?}"
            );
            (confirms == [Confirm::Confirmed]).then_some(())
        })
        .await;
        let delivery = receiver.next().await;
        assert_eq!(delivery.body, message.message.encode());
        delivery.ack();
    }
}

async fn a_receiver_raises_its_prefetch_when_slots_become_free(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    publisher.publish(broker.messages("default", 20)).await;
    let slots = Arc::new(Semaphore::new(5));
    let (mut receiver, driver) = broker.queue.receiver("few", &names(&["default"]), slots.clone());
    // Handlers of a lost session still hold three slots.
    let stuck = slots.clone().acquire_many_owned(3).await.unwrap();
    tokio::spawn(driver);
    let mut held = Vec::new();
    for _ in 0..2 {
        let slot = slots.clone().acquire_owned().await.unwrap();
        held.push((receiver.next().await, slot));
    }
    ready_becomes(&publisher, "default", 18).await;
    drop(stuck);
    for _ in 0..3 {
        let slot = slots.clone().acquire_owned().await.unwrap();
        held.push((receiver.next().await, slot));
    }
    ready_becomes(&publisher, "default", 15).await;
    let distinct: HashSet<_> = held.iter().map(|(delivery, _)| delivery.body.clone()).collect();
    assert_eq!(distinct.len(), 5);
    for (delivery, _slot) in held {
        delivery.ack();
    }
}

async fn the_depth_of_a_missing_queue_is_none(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    for _ in 0..3 {
        assert_eq!(publisher.depth("nowhere").await, None);
        assert_eq!(publisher.depth("default").await.unwrap().ready, 0);
    }
    assert_eq!(*publisher.state().borrow(), BrokerState::Open);
}

async fn an_inspection_returns_the_version_or_the_error(broker: Broker) {
    let Queue::Rabbit(url) = &broker.queue else { unreachable!() };
    let report = inspect(url, &names(&["default"])).await.unwrap();
    let version = report.version.unwrap();
    assert!(
        version.split('.').count() >= 3 && version.starts_with(|c: char| c.is_ascii_digit()),
        "{version}"
    );

    let server = testkit::setting("POLYCHRON_TEST_AMQP");
    let place = server.rsplit_once('@').unwrap().1;
    for (url, expected) in [
        (format!("amqp://guest:s3cret@{place}/{}", broker.vhost), "ACCESS_REFUSED"),
        (format!("amqp://guest:guest@{place}/no-such-vhost"), "no-such-vhost"),
        ("amqp://guest:s3cret@127.0.0.1:1/x".to_owned(), "connection failed"),
        ("amqp://guest:s3cret@no-such-host.invalid/x".to_owned(), "connection failed"),
        (format!("amqp://guest:s3cret@{}/x", testkit::setting("POLYCHRON_TEST_MANAGEMENT")), ""),
    ] {
        let parsed: AmqpUrl = url.parse().unwrap();
        let asked =
            tokio::time::timeout(std::time::Duration::from_secs(8), inspect(&parsed, &[])).await;
        let text = asked.unwrap_or_else(|_| panic!("{url}: no answer within 8 s")).unwrap_err();
        assert!(text.contains(expected), "{url}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
