//! The queue that carries messages from producers to consumers: RabbitMQ, or a queue in the process.
//!
//! In the life of a job, `message.rs` defines the messages, and `consumer/worker.rs` comes after this file.
//!
//! A process has one [`Publisher`] and one [`Receiver`] or [`Wakes`], each on a connection of its own:
//! when the broker blocks a connection that publishes, acknowledgements on it would be blocked as well.
//! Each comes with a driver, a future that keeps the connection alive and that the caller spawns.
//!
//! A message without an answer may have arrived, and a confirmed one may be lost with its queue. The
//! producer's sweeper handles both.

mod memory;
mod rabbit;
mod wake;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

pub use memory::MemoryBroker;
pub use rabbit::{
    AmqpUrl, BrokerReport, DeadMessage, InvalidAmqpUrl, Posted, empty_dead, inspect, list_dead,
    post,
};
pub use wake::Wake;

use crate::id::TenantId;
use crate::liveness::Watchdog;
use crate::message::Outgoing;

/// Where messages are published and received.
#[derive(Clone)]
pub enum Queue {
    /// RabbitMQ at this address.
    Rabbit(AmqpUrl),
    /// A queue in this process.
    Memory(MemoryBroker),
}

/// Keeps a connection alive until the handle that it came with is dropped.
pub type Driver = BoxFuture<'static, ()>;

/// The broker's answer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// The broker has put it into a queue.
    Confirmed,
    /// The broker has no queue for it.
    Unroutable,
    /// The broker refused it.
    Refused,
    /// No answer: it may have arrived.
    Unknown,
}

/// The depth of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that have not been delivered to a consumer.
    pub ready: u32,
    /// How many consumers take from it.
    pub consumers: u32,
}

/// Whether the broker takes messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// Not connected.
    Closed,
    /// Connected.
    Open,
    /// Connected, but the broker takes no messages because it is short of memory or disk.
    Blocked,
}

impl Queue {
    /// A publisher, whose connection the broker's management UI shows as `name`. It declares `queues`, so
    /// that they exist before the first consumer does.
    pub fn publisher(&self, name: &str, queues: &[String]) -> (Publisher, Driver) {
        match self {
            Queue::Rabbit(url) => {
                let (publisher, driver) = rabbit::publisher(url.clone(), name, queues);
                (Publisher(PublishTo::Rabbit(publisher)), driver)
            }
            Queue::Memory(broker) => {
                (Publisher(PublishTo::Memory(broker.clone())), Box::pin(std::future::ready(())))
            }
        }
    }

    /// A receiver that takes from `queues`. It asks for no more deliveries than `slots` has permits, so
    /// that no more wait at this process than it can run. The caller of [`Receiver::next`] holds a
    /// permit for the delivery that comes.
    pub fn receiver(
        &self,
        name: &str,
        queues: &[String],
        slots: Arc<Semaphore>,
    ) -> (Receiver, Driver) {
        match self {
            Queue::Rabbit(url) => {
                let (receiver, driver) = rabbit::receiver(url.clone(), name, queues, slots);
                (Receiver(ReceiveFrom::Rabbit(receiver)), driver)
            }
            Queue::Memory(broker) => {
                let receiver = broker.receiver(queues);
                (Receiver(ReceiveFrom::Memory(receiver)), Box::pin(std::future::ready(())))
            }
        }
    }

    /// A receiver of wakes.
    pub fn wakes(&self, name: &str) -> (Wakes, Driver) {
        match self {
            Queue::Rabbit(url) => {
                let (wakes, driver) = rabbit::wakes(url.clone(), name);
                (Wakes(WakesFrom::Rabbit(wakes)), driver)
            }
            Queue::Memory(broker) => {
                (Wakes(WakesFrom::Memory(broker.wakes())), Box::pin(std::future::ready(())))
            }
        }
    }
}

/// Publishes. Clones share one connection.
#[derive(Clone)]
pub struct Publisher(PublishTo);

#[derive(Clone)]
enum PublishTo {
    Rabbit(rabbit::Publisher),
    Memory(MemoryBroker),
}

impl Publisher {
    /// Publishes messages, and returns the broker's answer to each, in their order. Takes ten seconds at
    /// most.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Confirm> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.publish(messages).await,
            PublishTo::Memory(broker) => broker.publish(messages),
        }
    }

    /// The depth of a queue. None: it doesn't exist, or the broker cannot be reached.
    pub async fn depth(&self, queue: &str) -> Option<Depth> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.depth(queue).await,
            PublishTo::Memory(broker) => Some(broker.depth(queue)),
        }
    }

    /// How many unreadable messages lie buried; the oldest beyond a thousand are removed. None: the
    /// broker cannot be reached.
    pub async fn dead_depth(&self) -> Option<u32> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.dead_depth().await,
            PublishTo::Memory(broker) => Some(broker.dead_depth()),
        }
    }

    /// Tells every producer that a tenant's tables have changed. It may get lost: producers poll at their
    /// interval in any case.
    pub async fn wake(&self, tenant: TenantId) {
        self.send(Wake::Tenant(tenant)).await;
    }

    /// Tells every producer that a producer has joined or left. It may get lost as well.
    pub async fn announce_membership_change(&self) {
        self.send(Wake::MembershipChanged).await;
    }

    async fn send(&self, wake: Wake) {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.wake(wake).await,
            PublishTo::Memory(broker) => broker.wake(wake),
        }
    }

    /// Buries an unreadable message: moves it to the dead-letter queue for inspection.
    pub async fn bury(&self, body: Vec<u8>, reason: &str) -> Confirm {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.bury(body, reason).await,
            PublishTo::Memory(broker) => broker.bury(body),
        }
    }

    /// The driver's watchdog; none if there is no driver.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => Some(publisher.watchdog()),
            PublishTo::Memory(_) => None,
        }
    }

    /// Whether the broker takes messages.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.state(),
            PublishTo::Memory(broker) => broker.state(),
        }
    }
}

/// Receives.
pub struct Receiver(ReceiveFrom);

enum ReceiveFrom {
    Rabbit(rabbit::Receiver),
    Memory(memory::MemoryReceiver),
}

impl Receiver {
    /// The next delivery, however long that takes. Cancel safe.
    pub async fn next(&mut self) -> Delivery {
        match &mut self.0 {
            ReceiveFrom::Rabbit(receiver) => receiver.next().await,
            ReceiveFrom::Memory(receiver) => receiver.next().await,
        }
    }

    /// The driver's watchdog; none if there is no driver.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        match &self.0 {
            ReceiveFrom::Rabbit(receiver) => Some(receiver.watchdog()),
            ReceiveFrom::Memory(_) => None,
        }
    }

    /// The state of the connection that receives deliveries.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        match &self.0 {
            ReceiveFrom::Rabbit(receiver) => receiver.state(),
            ReceiveFrom::Memory(receiver) => receiver.state(),
        }
    }
}

/// A delivered message. The same message may be delivered again.
#[must_use = "a delivery that is not acknowledged comes again"]
pub struct Delivery {
    /// The body: input, since anyone with access to the broker can publish.
    pub body: Vec<u8>,
    /// Whether it was delivered before.
    pub redelivered: bool,
    receipt: Receipt,
}

enum Receipt {
    Rabbit(rabbit::Receipt),
    Memory(memory::Receipt),
}

impl Delivery {
    /// Acknowledges the message, without waiting for the broker. If the acknowledgement is lost, the
    /// message is delivered again and refused by the claim.
    pub fn ack(self) {
        match self.receipt {
            Receipt::Rabbit(receipt) => receipt.ack(),
            Receipt::Memory(receipt) => receipt.ack(),
        }
    }
}

/// Receives wakes.
pub struct Wakes(WakesFrom);

enum WakesFrom {
    Rabbit(rabbit::Wakes),
    Memory(memory::MemoryWakes),
}

impl Wakes {
    /// The driver's watchdog; none if there is no driver.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        match &self.0 {
            WakesFrom::Rabbit(wakes) => Some(wakes.watchdog()),
            WakesFrom::Memory(_) => None,
        }
    }

    /// The next wake, however long that takes. Cancel safe.
    pub async fn next(&mut self) -> Wake {
        match &mut self.0 {
            WakesFrom::Rabbit(wakes) => wakes.next().await,
            WakesFrom::Memory(wakes) => wakes.next().await,
        }
    }
}
