//! Conformance tests of the queue. Each case runs on both brokers, as separate tests, so that the
//! name of a failed test includes the broker.

/// Makes a test of each case on RabbitMQ and on the in-process broker.
macro_rules! on_both_queues {
    ($($case:ident),+ $(,)?) => {
        mod rabbit {
            $( #[tokio::test] async fn $case() { super::limited(super::$case(super::Broker::rabbit().await)).await } )+
        }
        mod memory {
            $( #[tokio::test] async fn $case() { super::limited(super::$case(super::Broker::memory())).await } )+
        }
    };
}

mod broker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::clock::Time;
use shared::id::{ExecutionId, TenantId};
use shared::message::{Label, Message, Outgoing};
use shared::queue::{
    BrokerState, Confirm, Delivery, MemoryBroker, Publisher, Queue, Receiver, Wake,
};
use shared::random::Random;
use testkit::{eventually, management, virtual_host};
use tokio::sync::Semaphore;

/// Limits a case to a minute: a missing message fails the test instead of blocking it.
async fn limited(case: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), case).await.expect("done within a minute");
}

/// A broker of the test's own.
struct Broker {
    queue: Queue,
    /// RabbitMQ's virtual host; empty for the in-process broker.
    vhost: String,
    random: Random,
}

impl Broker {
    async fn rabbit() -> Broker {
        let url = virtual_host().await;
        let vhost = url.rsplit('/').next().unwrap().to_owned();
        Broker { queue: Queue::Rabbit(url.parse().unwrap()), vhost, random: Random::seeded(1) }
    }

    fn memory() -> Broker {
        Broker {
            queue: Queue::Memory(MemoryBroker::new()),
            vhost: String::new(),
            random: Random::seeded(1),
        }
    }

    /// A connected publisher.
    async fn publisher(&self, queues: &[&str]) -> Publisher {
        let (publisher, driver) = self.queue.publisher("test publisher", &names(queues));
        tokio::spawn(driver);
        publisher.state().wait_for(|state| *state == BrokerState::Open).await.unwrap();
        publisher
    }

    /// A connected receiver.
    async fn receiver(&self, queues: &[&str], slots: &Arc<Semaphore>) -> Receiver {
        let (receiver, driver) =
            self.queue.receiver("test receiver", &names(queues), slots.clone());
        tokio::spawn(driver);
        receiver.state().wait_for(|state| *state == BrokerState::Open).await.unwrap();
        receiver
    }

    fn message(&self, queue: &str) -> Outgoing {
        let now: Time = "2026-11-24T12:00:00Z".parse().unwrap();
        Outgoing {
            message: Message {
                tenant: TenantId::new(now, &self.random),
                execution: ExecutionId::new(now, &self.random),
            },
            queue: queue.to_owned(),
            label: Label {
                tenant: "acme".to_owned(),
                job: "nightly \"ä\"".to_owned(),
                job_type: "mail".to_owned(),
                scheduled_for: now,
                attempt: 2,
            },
        }
    }

    fn messages(&self, queue: &str, count: usize) -> Vec<Outgoing> {
        (0..count).map(|_| self.message(queue)).collect()
    }

    /// Publishes an arbitrary body, as any client of the broker can.
    async fn inject(&self, queue: &str, body: &str) {
        match &self.queue {
            Queue::Memory(broker) => broker.inject(queue, body.as_bytes().to_vec()),
            Queue::Rabbit(_) => {
                let path = format!("/api/exchanges/{}/polychron.jobs/publish", self.vhost);
                let message = serde_json::json!({
                    "properties": {}, "routing_key": queue, "payload": body, "payload_encoding": "string"
                });
                let routed: Value =
                    serde_json::from_str(&management("POST", &path, &message.to_string()).await)
                        .unwrap();
                assert_eq!(routed["routed"], true);
            }
        }
    }

    /// The buried messages.
    async fn dead(&self) -> Vec<String> {
        match &self.queue {
            Queue::Memory(broker) => {
                broker.dead().into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
            }
            Queue::Rabbit(_) => {
                let messages = self.peek("polychron.dead").await;
                messages
                    .iter()
                    .map(|message| message["payload"].as_str().unwrap().to_owned())
                    .collect()
            }
        }
    }

    /// The messages of a queue, through the management API; they stay in the queue.
    async fn peek(&self, queue: &str) -> Vec<Value> {
        let path = format!("/api/queues/{}/{queue}/get", self.vhost);
        let how = r#"{"count":10,"ackmode":"ack_requeue_true","encoding":"auto"}"#;
        serde_json::from_str(&management("POST", &path, how).await).unwrap()
    }

    async fn purge(&self, queue: &str) {
        match &self.queue {
            Queue::Memory(broker) => broker.purge(),
            Queue::Rabbit(_) => {
                let path = format!("/api/queues/{}/polychron.jobs.{queue}/contents", self.vhost);
                management("DELETE", &path, "").await;
            }
        }
    }
}

fn names(queues: &[&str]) -> Vec<String> {
    queues.iter().map(|queue| (*queue).to_owned()).collect()
}

fn bodies(messages: &[Outgoing]) -> Vec<Vec<u8>> {
    messages.iter().map(|outgoing| outgoing.message.encode()).collect()
}

/// Waits until this many messages are ready.
async fn ready_becomes(publisher: &Publisher, queue: &str, expected: u32) {
    eventually(&format!("{expected} messages ready in {queue}"), || async {
        publisher.depth(queue).await.filter(|depth| depth.ready == expected)
    })
    .await;
}

on_both_queues! {
    messages_are_confirmed_and_delivered_in_order,
    an_unacknowledged_message_is_redelivered,
    a_receiver_takes_no_more_messages_than_it_has_slots,
    a_duplicate_is_delivered_like_any_other,
    an_invalid_message_is_delivered_and_can_be_buried,
    a_receiver_receives_only_from_its_queues,
    a_purged_queue_is_empty_and_still_works,
    two_receivers_share_a_queue,
    a_wake_reaches_every_producer,
    publishing_to_a_closed_broker_has_an_unknown_outcome,
}

async fn messages_are_confirmed_and_delivered_in_order(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let messages = broker.messages("default", 300);
    assert_eq!(publisher.publish(messages.clone()).await, vec![Confirm::Confirmed; 300]);
    assert_eq!(publisher.publish(vec![]).await, []);
    ready_becomes(&publisher, "default", 300).await;
    let slots = Arc::new(Semaphore::new(5));
    let mut receiver = broker.receiver(&["default"], &slots).await;
    for body in bodies(&messages) {
        let delivery = receiver.next().await;
        assert_eq!(delivery.body, body);
        assert_eq!(Message::decode(&delivery.body).unwrap().encode(), body);
        assert!(!delivery.redelivered);
        delivery.ack();
    }
    ready_becomes(&publisher, "default", 0).await;
    drop(receiver);
    // Acknowledged messages are not delivered again.
    let mut receiver = broker.receiver(&["default"], &slots).await;
    let last = broker.message("default");
    publisher.publish(vec![last.clone()]).await;
    let delivery = receiver.next().await;
    assert_eq!(delivery.body, last.message.encode());
    delivery.ack();
}

async fn an_unacknowledged_message_is_redelivered(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let messages = broker.messages("default", 3);
    publisher.publish(messages.clone()).await;
    let slots = Arc::new(Semaphore::new(3));
    let mut receiver = broker.receiver(&["default"], &slots).await;
    let first = receiver.next().await;
    let second = receiver.next().await;
    second.ack();
    drop(first);
    drop(receiver);
    let mut receiver = broker.receiver(&["default"], &slots).await;
    let mut again = HashMap::new();
    for _ in 0..2 {
        let delivery = receiver.next().await;
        again.insert(delivery.body.clone(), delivery.redelivered);
        delivery.ack();
    }
    let expected = bodies(&messages);
    assert_eq!(again.get(&expected[0]), Some(&true));
    assert!(again.contains_key(&expected[2]) && !again.contains_key(&expected[1]));
    ready_becomes(&publisher, "default", 0).await;
}

async fn a_receiver_takes_no_more_messages_than_it_has_slots(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    publisher.publish(broker.messages("default", 20)).await;
    let slots = Arc::new(Semaphore::new(5));
    let mut receiver = broker.receiver(&["default"], &slots).await;
    let mut running = Vec::new();
    // Like a consumer, take the slot first and then the delivery.
    for _ in 0..5 {
        let slot = slots.clone().acquire_owned().await.unwrap();
        running.push((receiver.next().await, slot));
    }
    ready_becomes(&publisher, "default", 15).await;
    for left in (0..15).rev() {
        let (delivery, slot): (Delivery, _) = running.remove(0);
        delivery.ack();
        drop(slot);
        let slot = slots.clone().acquire_owned().await.unwrap();
        running.push((receiver.next().await, slot));
        ready_becomes(&publisher, "default", left).await;
    }
    for (delivery, _slot) in running {
        delivery.ack();
    }
    assert_eq!(publisher.depth("default").await.unwrap().ready, 0);
}

async fn a_duplicate_is_delivered_like_any_other(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let (one, other) = (broker.message("default"), broker.message("default"));
    let messages = vec![one.clone(), other.clone(), one.clone(), one];
    assert_eq!(publisher.publish(messages.clone()).await, vec![Confirm::Confirmed; 4]);
    let mut receiver = broker.receiver(&["default"], &Arc::new(Semaphore::new(4))).await;
    let mut deliveries = Vec::new();
    for _ in 0..4 {
        deliveries.push(receiver.next().await);
    }
    let received: Vec<Vec<u8>> = deliveries.iter().map(|delivery| delivery.body.clone()).collect();
    assert_eq!(received, bodies(&messages));
    // They may be acknowledged in any order.
    for delivery in deliveries.into_iter().rev() {
        delivery.ack();
    }
    ready_becomes(&publisher, "default", 0).await;
}

async fn an_invalid_message_is_delivered_and_can_be_buried(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let mut receiver = broker.receiver(&["default"], &Arc::new(Semaphore::new(2))).await;
    for body in ["{\"v\":1,\"password\":\"hunter2\"}", "", &"x".repeat(100_000)] {
        broker.inject("default", body).await;
        let delivery = receiver.next().await;
        assert_eq!(delivery.body, body.as_bytes());
        let reason = Message::decode(&delivery.body).unwrap_err().to_string();
        let buried = publisher.bury(delivery.body.clone(), &reason).await;
        assert_eq!(buried, Confirm::Confirmed);
        delivery.ack();
    }
    let dead = broker.dead().await;
    assert_eq!(dead.len(), 3);
    assert!(dead[0].contains("hunter2") && dead[2].len() == 100_000);
    ready_becomes(&publisher, "default", 0).await;
}

async fn a_receiver_receives_only_from_its_queues(broker: Broker) {
    let publisher = broker.publisher(&["a", "b", "c"]).await;
    let messages: Vec<Outgoing> =
        ["a", "b", "c"].iter().map(|queue| broker.message(queue)).collect();
    publisher.publish(messages.clone()).await;
    let mut receiver = broker.receiver(&["a", "c"], &Arc::new(Semaphore::new(5))).await;
    let mut received = Vec::new();
    for _ in 0..2 {
        let delivery = receiver.next().await;
        received.push(delivery.body.clone());
        delivery.ack();
    }
    let expected = bodies(&messages);
    assert!(received.contains(&expected[0]) && received.contains(&expected[2]));
    for (queue, ready, consumers) in [("a", 0, 1), ("b", 1, 0), ("c", 0, 1)] {
        eventually(&format!("the depth of {queue}"), || async {
            publisher
                .depth(queue)
                .await
                .filter(|depth| (depth.ready, depth.consumers) == (ready, consumers))
        })
        .await;
    }
    drop(receiver);
    eventually("the receiver is gone", || async {
        publisher.depth("a").await.filter(|depth| depth.consumers == 0)
    })
    .await;
}

async fn a_purged_queue_is_empty_and_still_works(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    publisher.publish(broker.messages("default", 10)).await;
    ready_becomes(&publisher, "default", 10).await;
    broker.purge("default").await;
    ready_becomes(&publisher, "default", 0).await;
    let mut receiver = broker.receiver(&["default"], &Arc::new(Semaphore::new(5))).await;
    let later = broker.message("default");
    publisher.publish(vec![later.clone()]).await;
    let delivery = receiver.next().await;
    assert_eq!(delivery.body, later.message.encode());
    delivery.ack();
}

async fn two_receivers_share_a_queue(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let slots = [Arc::new(Semaphore::new(10)), Arc::new(Semaphore::new(10))];
    let mut one = broker.receiver(&["default"], &slots[0]).await;
    let mut other = broker.receiver(&["default"], &slots[1]).await;
    let messages = broker.messages("default", 20);
    publisher.publish(messages.clone()).await;
    let (mut seen, mut held) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        for receiver in [&mut one, &mut other] {
            let delivery = receiver.next().await;
            seen.push(delivery.body.clone());
            held.push(delivery);
        }
    }
    seen.sort();
    let mut expected = bodies(&messages);
    expected.sort();
    assert_eq!(seen, expected);
    for delivery in held {
        delivery.ack();
    }
}

async fn a_wake_reaches_every_producer(broker: Broker) {
    let publisher = broker.publisher(&["default"]).await;
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let (mut wakes, driver) = broker.queue.wakes("test wakes");
        tokio::spawn(driver);
        if !broker.vhost.is_empty() {
            assert_eq!(
                wakes.next().await,
                Wake::All,
                "wakes may have been lost before it subscribed"
            );
        }
        listeners.push(wakes);
    }
    let tenants: Vec<TenantId> = (0..3).map(|_| broker.message("x").message.tenant).collect();
    for tenant in &tenants {
        publisher.wake(*tenant).await;
    }
    for wakes in &mut listeners {
        for tenant in &tenants {
            assert_eq!(wakes.next().await, Wake::Tenant(*tenant));
        }
    }
    publisher.announce_membership_change().await;
    for wakes in &mut listeners {
        assert_eq!(wakes.next().await, Wake::MembershipChanged);
    }
}

async fn publishing_to_a_closed_broker_has_an_unknown_outcome(broker: Broker) {
    let publisher = match &broker.queue {
        Queue::Memory(memory) => {
            memory.set_state(BrokerState::Closed);
            broker.queue.publisher("closed", &[]).0
        }
        // Its driver is never started.
        Queue::Rabbit(_) => broker.queue.publisher("closed", &[]).0,
    };
    assert_eq!(*publisher.state().borrow(), BrokerState::Closed);
    assert_eq!(publisher.publish(broker.messages("default", 3)).await, vec![Confirm::Unknown; 3]);
}
