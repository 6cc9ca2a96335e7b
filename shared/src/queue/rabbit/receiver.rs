//! Receives deliveries from RabbitMQ for a consumer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tracing::debug;

use super::acks::Acks;
use super::keep_connected::{BrokerSession, Link, keep_connected};
use super::{
    AmqpUrl, Connected, Fault, answer, close, connect, declare_jobs, open_channel, queue_name,
};
use crate::liveness::{PING_EVERY, Watchdog};
use crate::queue::{BrokerState, Delivery, Driver};

/// How often a receiver that was granted fewer deliveries than it has slots asks for more.
const WIDEN_EVERY: Duration = Duration::from_secs(1);

/// Receives through a driver that keeps one connection alive.
pub(in crate::queue) struct Receiver {
    deliveries: mpsc::Receiver<Delivery>,
    state: watch::Receiver<BrokerState>,
    watchdog: Watchdog,
}

impl Receiver {
    pub(in crate::queue) async fn next(&mut self) -> Delivery {
        match self.deliveries.recv().await {
            Some(delivery) => delivery,
            // The driver has ended: no delivery can come, and the caller is about to be stopped.
            None => std::future::pending().await,
        }
    }

    pub(in crate::queue) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    pub(in crate::queue) fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }
}

pub(in crate::queue) fn receiver(
    url: AmqpUrl,
    name: &str,
    queues: &[String],
    slots: Arc<Semaphore>,
) -> (Receiver, Driver) {
    // As many as the broker may send at once: deliveries that arrive together are taken together.
    let (sender, deliveries) = mpsc::channel(slots.available_permits().max(1));
    let (state, observed) = watch::channel(BrokerState::Closed);
    let all_slots = slots.available_permits();
    let watchdog = Watchdog::default();
    let session = ReceivingSession {
        url: url.clone(),
        name: name.to_owned(),
        queues: queues.to_vec(),
        slots,
        all_slots,
        deliveries: sender,
        state,
        watchdog: watchdog.clone(),
    };
    let driver = keep_connected(url, watchdog.clone(), session);
    (Receiver { deliveries, state: observed, watchdog }, Box::pin(driver))
}

struct ReceivingSession {
    url: AmqpUrl,
    name: String,
    queues: Vec<String>,
    slots: Arc<Semaphore>,
    all_slots: usize,
    deliveries: mpsc::Sender<Delivery>,
    state: watch::Sender<BrokerState>,
    watchdog: Watchdog,
}

/// Why a subscription ended, other than by a fault.
enum SessionEnd {
    /// The receiver was dropped.
    Unneeded,
    /// More slots are free than deliveries were asked for, so it subscribes again.
    Widen,
}

impl BrokerSession for ReceivingSession {
    const PURPOSE: &str = "receiving";

    async fn serve(&mut self, link: &mut Link) -> Result<(), Fault> {
        let ended = self.connect_and_receive(link).await;
        if ended.is_err() {
            self.state.send_replace(BrokerState::Closed);
        }
        ended
    }

    async fn unneeded(&mut self) {
        self.deliveries.closed().await;
    }
}

impl ReceivingSession {
    async fn connect_and_receive(&self, link: &mut Link) -> Result<(), Fault> {
        let Connected { connection, version } = connect(&self.url, &self.name).await?;
        let channel = open_channel(&connection).await?;
        declare_jobs(&channel, &self.queues, version.as_deref()).await?;
        link.connected();
        loop {
            // Handlers of a lost session may still hold slots. Their deliveries come again, are refused by
            // the claim and acknowledged, so ask for no more than can run besides. One slot is always
            // held for the next delivery.
            let granted = (self.slots.available_permits() + 1).min(self.all_slots.max(1));
            let channel = open_channel(&connection).await?;
            let streams = self.subscribe(&channel, granted).await?;
            self.state.send_replace(BrokerState::Open);
            match self.forward(&channel, streams, granted).await? {
                SessionEnd::Unneeded => {
                    close(&connection).await;
                    return Ok(());
                }
                SessionEnd::Widen => {
                    debug!("asking the broker for as many deliveries as there are slots")
                }
            }
        }
    }

    async fn subscribe(
        &self,
        channel: &Channel,
        prefetch: usize,
    ) -> Result<SelectAll<Consumer>, Fault> {
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        answer("set the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let mut streams = Vec::new();
        for queue in &self.queues {
            let consume = channel.basic_consume(
                queue_name(queue),
                consumer_tag(&self.name, queue),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            streams.push(answer("consume", consume).await?);
        }
        Ok(select_all(streams))
    }

    async fn forward(
        &self,
        channel: &Channel,
        mut streams: SelectAll<Consumer>,
        granted: usize,
    ) -> Result<SessionEnd, Fault> {
        let mut widen = tokio::time::interval(WIDEN_EVERY);
        let taking = streams.len();
        let unacknowledged = Arc::new(());
        let acks = Arc::new(Acks::new(channel.clone()));
        loop {
            self.watchdog.ping();
            tokio::select! {
                biased;
                () = self.deliveries.closed() => return Ok(SessionEnd::Unneeded),
                delivery = streams.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let receipt = Receipt {
                            acks: acks.clone(),
                            tag: delivery.delivery_tag,
                            _counted: unacknowledged.clone(),
                        };
                        let delivery = Delivery {
                            body: delivery.data,
                            redelivered: delivery.redelivered,
                            receipt: crate::queue::Receipt::Rabbit(receipt),
                        };
                        if self.hand_over(delivery).await.is_err() {
                            return Ok(SessionEnd::Unneeded);
                        }
                    }
                    Some(Err(error)) => return Err(Fault::Broker("receiving", error)),
                    None => return Err(Fault::Ended("the broker cancelled the consumer")),
                },
                _ = widen.tick() => {
                    // If a stream ends, the broker has cancelled the consumer: its queue was deleted.
                    if streams.len() < taking {
                        return Err(Fault::Ended("the broker cancelled a consumer: its queue was deleted"));
                    }
                    let in_use = Arc::strong_count(&unacknowledged) - 1;
                    let idle_slots = self.slots.available_permits();
                    if granted < self.all_slots && in_use >= granted && idle_slots > 0 {
                        return Ok(SessionEnd::Widen);
                    }
                }
            }
        }
    }

    /// Waits until the receiver takes the delivery, however long that takes.
    ///
    /// # Errors
    /// If the receiver was dropped.
    async fn hand_over(&self, delivery: Delivery) -> Result<(), SendError<Delivery>> {
        let mut handed = pin!(self.deliveries.send(delivery));
        loop {
            match timeout(PING_EVERY, &mut handed).await {
                Ok(handed) => return handed,
                Err(_) => self.watchdog.ping(),
            }
        }
    }
}

/// The consumer's name in the management UI.
fn consumer_tag(name: &str, queue: &str) -> ShortString {
    let mut tag = format!("{name} {queue}");
    tag.truncate(tag.floor_char_boundary(250));
    tag.into()
}

/// Acknowledges one delivery on the channel that delivered it.
pub(in crate::queue) struct Receipt {
    acks: Arc<Acks>,
    tag: u64,
    /// Lives as long as the message is unacknowledged.
    _counted: Arc<()>,
}

impl Receipt {
    pub(in crate::queue) fn ack(self) {
        self.acks.add(self.tag);
    }
}
