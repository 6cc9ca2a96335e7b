//! What carries messages from producers to consumers: RabbitMQ, or a queue in the process.
//!
//! In the life of a job: `message.rs` says what crosses, `consumer/worker.rs` takes it from here.
//!
//! A process has one [`Publisher`] and one [`Receiver`] or [`Wakes`], on connections of their own:
//! when the broker blocks a connection that publishes, acknowledgements on it would wait, too.
//! Each comes with a driver, a future that keeps its connection alive and that the caller spawns.
//! A publish that got no answer may have arrived, and one that was confirmed may be lost with its
//! queue: the sweeper in the producer looks after both.

mod memory;
mod rabbit;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

pub use memory::MemoryBroker;
pub use rabbit::{AmqpUrl, BrokerReport, InvalidAmqpUrl, Posted, inspect, post};

use crate::id::TenantId;
use crate::liveness::Watchdog;
use crate::message::Outgoing;

/// Stands in a wake for no tenant: which producers there are has changed. A producer that knows
/// nothing of that takes it for a tenant it doesn't know, and does nothing.
pub const ROLL_CALL: TenantId = TenantId(Uuid::nil());

/// Where messages go.
#[derive(Clone)]
pub enum Queue {
    /// RabbitMQ at this address.
    Rabbit(AmqpUrl),
    /// A queue in this process.
    Memory(MemoryBroker),
}

/// Keeps a connection alive until the handle it came with is dropped.
pub type Driver = BoxFuture<'static, ()>;

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// The broker has it, in a queue.
    Confirmed,
    /// The broker has no queue for it.
    Unroutable,
    /// The broker refused it.
    Refused,
    /// No answer: it may have arrived.
    Unknown,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that no consumer has been given.
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
    /// Connected, but the broker takes nothing: it is short of memory or disk.
    Blocked,
}

impl Queue {
    /// A publisher, for a connection that the broker's management UI shows as `name`; it declares
    /// `queues`, so that they exist before the first consumer does.
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

    /// A receiver that takes from `queues`. It asks for no more deliveries than `slots` has
    /// permits, so that what waits at this process is what it can run. Whoever calls
    /// [`Receiver::next`] holds a permit for what comes.
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

    /// A listener to the tenants whose tables have changed.
    pub fn wakes(&self, name: &str) -> (Wakes, Driver) {
        match self {
            Queue::Rabbit(url) => {
                let (wakes, driver) = rabbit::wakes(url.clone(), name);
                (Wakes(HearFrom::Rabbit(wakes)), driver)
            }
            Queue::Memory(broker) => {
                (Wakes(HearFrom::Memory(broker.wakes())), Box::pin(std::future::ready(())))
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
    /// Publishes messages and waits for the broker's word on each, in their order. Takes ten
    /// seconds at the longest.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Confirm> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.publish(messages).await,
            PublishTo::Memory(broker) => broker.publish(messages),
        }
    }

    /// How full a queue is. None: it doesn't exist, or the broker cannot be asked.
    pub async fn depth(&self, queue: &str) -> Option<Depth> {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.depth(queue).await,
            PublishTo::Memory(broker) => Some(broker.depth(queue)),
        }
    }

    /// Tells every producer that a tenant's tables have changed. Nobody relies on it.
    pub async fn wake(&self, tenant: TenantId) {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.wake(tenant).await,
            PublishTo::Memory(broker) => broker.wake(tenant),
        }
    }

    /// Puts aside what is no message of ours, for people to look at. False: it could not.
    pub async fn bury(&self, body: Vec<u8>, reason: &str) -> bool {
        match &self.0 {
            PublishTo::Rabbit(publisher) => publisher.bury(body, reason).await,
            PublishTo::Memory(broker) => broker.bury(body),
        }
    }

    /// The driver's sign of life. None: no driver is needed.
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

    /// The driver's sign of life. None: no driver is needed.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        match &self.0 {
            ReceiveFrom::Rabbit(receiver) => Some(receiver.watchdog()),
            ReceiveFrom::Memory(_) => None,
        }
    }

    /// Whether deliveries can come. The inner value is none while there is no connection.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        match &self.0 {
            ReceiveFrom::Rabbit(receiver) => receiver.state(),
            ReceiveFrom::Memory(receiver) => receiver.state(),
        }
    }
}

/// One receipt of a message, which may be received again.
#[must_use = "a delivery that is not acknowledged comes again"]
pub struct Delivery {
    /// What anybody may have written.
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
    /// Tells the broker that the message has served, without waiting until it has heard so. If it
    /// doesn't, the message comes again, and is refused by the claim.
    pub fn ack(self) {
        match self.receipt {
            Receipt::Rabbit(receipt) => receipt.ack(),
            Receipt::Memory(receipt) => receipt.ack(),
        }
    }
}

/// Hears which tenants' tables have changed.
pub struct Wakes(HearFrom);

enum HearFrom {
    Rabbit(rabbit::Wakes),
    Memory(memory::MemoryWakes),
}

impl Wakes {
    /// The driver's sign of life. None: no driver is needed.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        match &self.0 {
            HearFrom::Rabbit(wakes) => Some(wakes.watchdog()),
            HearFrom::Memory(_) => None,
        }
    }

    /// The next tenant. None: some may have been missed, so look at all.
    pub async fn next(&mut self) -> Option<TenantId> {
        match &mut self.0 {
            HearFrom::Rabbit(wakes) => wakes.next().await,
            HearFrom::Memory(wakes) => wakes.next().await,
        }
    }
}
