//! A queue in the process, for the embedded mode and for tests. It makes the same promises as the broker,
//! and forgets everything when the process ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, broadcast, watch};

use super::{BrokerState, Confirm, Delivery, Depth, Wake};
use crate::message::{Message, Outgoing};

/// How many wakes may wait for a slow listener. If more come, it receives [`Wake::All`] instead.
const WAKES_MAX: usize = 1024;
/// How many unreadable bodies are kept for inspection.
const DEAD_MAX: usize = 1024;

/// A broker in this process. Clones are the same broker.
#[derive(Clone)]
pub struct MemoryBroker(Arc<Broker>);

struct Broker {
    queues: Mutex<Queues>,
    /// Notified when a message comes into a queue.
    arrived: Notify,
    wakes: broadcast::Sender<Wake>,
    state: watch::Sender<BrokerState>,
}

#[derive(Default)]
struct Queues {
    ready: HashMap<String, VecDeque<Body>>,
    consumers: HashMap<String, u32>,
    dead: VecDeque<Vec<u8>>,
    refuses: bool,
    /// Messages that have been published and have not arrived yet; see [`MemoryBroker::hold`].
    #[cfg(feature = "faults")]
    held: Option<Vec<(String, Vec<u8>)>>,
}

struct Body {
    bytes: Vec<u8>,
    redelivered: bool,
}

impl MemoryBroker {
    /// An empty broker.
    pub fn new() -> MemoryBroker {
        MemoryBroker(Arc::new(Broker {
            queues: Mutex::default(),
            arrived: Notify::new(),
            wakes: broadcast::Sender::new(WAKES_MAX),
            state: watch::Sender::new(BrokerState::Open),
        }))
    }

    /// Simulates an alarm, a restart or a broken connection: unless the broker is open, what is published
    /// is lost and nothing is delivered.
    pub fn set_state(&self, state: BrokerState) {
        self.0.state.send_replace(state);
        self.0.arrived.notify_waiters();
    }

    /// Simulates an operator's purge: removes the messages that have not been delivered.
    pub fn purge(&self) {
        self.0.queues().ready.clear();
    }

    /// Simulates a limit on the queues' length: until [`MemoryBroker::accept`], what is published is
    /// refused.
    pub fn refuse(&self) {
        self.0.queues().refuses = true;
    }

    /// Ends what [`MemoryBroker::refuse`] began.
    pub fn accept(&self) {
        self.0.queues().refuses = false;
    }

    pub(super) fn publish(&self, messages: Vec<Outgoing>) -> Vec<Confirm> {
        if !self.is_open() {
            return vec![Confirm::Unknown; messages.len()];
        }
        if self.0.queues().refuses {
            return vec![Confirm::Refused; messages.len()];
        }
        let confirms = vec![Confirm::Confirmed; messages.len()];
        for outgoing in messages {
            self.inject(&outgoing.queue, outgoing.message.encode());
        }
        confirms
    }

    /// From now on, what is published is in flight until [`MemoryBroker::arrive`].
    #[cfg(feature = "faults")]
    pub fn hold(&self) {
        self.0.queues().held.get_or_insert_default();
    }

    /// How many messages are in flight.
    #[cfg(feature = "faults")]
    pub fn held(&self) -> usize {
        self.0.queues().held.as_ref().map_or(0, Vec::len)
    }

    /// The messages in flight, without those that cannot be parsed.
    #[cfg(feature = "faults")]
    pub fn in_flight(&self) -> Vec<Message> {
        let queues = self.0.queues();
        let held = queues.held.iter().flatten();
        held.filter_map(|(_, bytes)| Message::decode(bytes).ok()).collect()
    }

    /// Lets a message in flight arrive this many times: 0 loses it, 2 duplicate it.
    #[cfg(feature = "faults")]
    pub fn arrive(&self, which: usize, times: usize) {
        let message = self.0.queues().held.as_mut().map(|held| held.remove(which));
        if let Some((queue, bytes)) = message {
            (0..times).for_each(|_| self.deliver(&queue, bytes.clone()));
        }
    }

    /// Puts any body into a queue, as anyone with access to a broker can.
    pub fn inject(&self, queue: &str, bytes: Vec<u8>) {
        #[cfg(feature = "faults")]
        if let Some(held) = &mut self.0.queues().held {
            return held.push((queue.to_owned(), bytes));
        }
        self.deliver(queue, bytes);
    }

    fn deliver(&self, queue: &str, bytes: Vec<u8>) {
        let body = Body { bytes, redelivered: false };
        self.0.queues().ready.entry(queue.to_owned()).or_default().push_back(body);
        self.0.arrived.notify_waiters();
    }

    /// Takes messages out of all queues and acknowledges them. For tests that act as the consumer.
    pub fn take(&self, at_most: usize) -> Vec<Message> {
        let mut queues = self.0.queues();
        let ready =
            queues.ready.values_mut().flat_map(|queue| queue.drain(..at_most.min(queue.len())));
        ready.filter_map(|body| Message::decode(&body.bytes).ok()).collect()
    }

    pub(super) fn dead_depth(&self) -> u32 {
        u32::try_from(self.0.queues().dead.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn depth(&self, queue: &str) -> Depth {
        let queues = self.0.queues();
        let ready = queues.ready.get(queue).map_or(0, VecDeque::len);
        let consumers = queues.consumers.get(queue).copied().unwrap_or_default();
        Depth { ready: u32::try_from(ready).unwrap_or(u32::MAX), consumers }
    }

    pub(super) fn wake(&self, wake: Wake) {
        let _ = self.0.wakes.send(wake); // an error means that nothing listens
    }

    pub(super) fn bury(&self, body: Vec<u8>) -> Confirm {
        let mut queues = self.0.queues();
        if queues.dead.len() == DEAD_MAX {
            queues.dead.pop_front();
        }
        queues.dead.push_back(body);
        Confirm::Confirmed
    }

    /// The messages that were buried.
    pub fn dead(&self) -> Vec<Vec<u8>> {
        self.0.queues().dead.iter().cloned().collect()
    }

    pub(super) fn state(&self) -> watch::Receiver<BrokerState> {
        self.0.state.subscribe()
    }

    pub(super) fn receiver(&self, names: &[String]) -> MemoryReceiver {
        let mut queues = self.0.queues();
        for name in names {
            *queues.consumers.entry(name.clone()).or_default() += 1;
        }
        drop(queues);
        MemoryReceiver { broker: self.clone(), names: names.to_vec() }
    }

    pub(super) fn wakes(&self) -> MemoryWakes {
        MemoryWakes(self.0.wakes.subscribe())
    }

    fn is_open(&self) -> bool {
        *self.0.state.borrow() == BrokerState::Open
    }
}

impl Default for MemoryBroker {
    fn default() -> MemoryBroker {
        MemoryBroker::new()
    }
}

impl Broker {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes from some queues of a [`MemoryBroker`].
pub(super) struct MemoryReceiver {
    broker: MemoryBroker,
    names: Vec<String>,
}

impl MemoryReceiver {
    pub(super) async fn next(&mut self) -> Delivery {
        loop {
            let arrived = self.broker.0.arrived.notified();
            if let Some(delivery) = self.take() {
                return delivery;
            }
            arrived.await;
        }
    }

    fn take(&self) -> Option<Delivery> {
        if !self.broker.is_open() {
            return None;
        }
        let mut queues = self.broker.0.queues();
        self.names.iter().find_map(|name| {
            let body = queues.ready.get_mut(name)?.pop_front()?;
            let receipt = Receipt {
                broker: self.broker.clone(),
                queue: name.clone(),
                unacknowledged: Some(body.bytes.clone()),
            };
            Some(Delivery {
                body: body.bytes,
                redelivered: body.redelivered,
                receipt: super::Receipt::Memory(receipt),
            })
        })
    }

    pub(super) fn state(&self) -> watch::Receiver<BrokerState> {
        self.broker.state()
    }
}

impl Drop for MemoryReceiver {
    fn drop(&mut self) {
        let mut queues = self.broker.0.queues();
        for name in &self.names {
            if let Some(consumers) = queues.consumers.get_mut(name) {
                *consumers -= 1;
            }
        }
    }
}

/// Acknowledges one delivery. If it is dropped without that, the message is delivered again.
pub(super) struct Receipt {
    broker: MemoryBroker,
    queue: String,
    unacknowledged: Option<Vec<u8>>,
}

impl Receipt {
    pub(super) fn ack(mut self) {
        self.unacknowledged = None;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(bytes) = self.unacknowledged.take() {
            let body = Body { bytes, redelivered: true };
            let queue = std::mem::take(&mut self.queue);
            self.broker.0.queues().ready.entry(queue).or_default().push_front(body);
            self.broker.0.arrived.notify_waiters();
        }
    }
}

/// Receives the wakes of a [`MemoryBroker`].
pub(super) struct MemoryWakes(broadcast::Receiver<Wake>);

impl MemoryWakes {
    pub(super) async fn next(&mut self) -> Wake {
        match self.0.recv().await {
            Ok(wake) => wake,
            Err(broadcast::error::RecvError::Lagged(_)) => Wake::All,
            // The broker was dropped, so no wake can come.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
