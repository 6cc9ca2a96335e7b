//! Receives from RabbitMQ: deliveries for a consumer, wakes for a producer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SelectAll, select_all};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::acks::Acks;
use super::{
    AmqpUrl, Fault, RECONNECT_WAITS, Session, WAKE_EXCHANGE, answer, close, connect, declare_jobs,
    declare_wake, open_channel, queue_name,
};
use crate::id::TenantId;
use crate::liveness::{PING_EVERY, Watchdog};
use crate::queue::{BrokerState, Delivery, Driver};
use crate::reconnect::Reconnect;

/// How often a receiver that was granted fewer deliveries than it has slots asks for more.
const WIDEN_EVERY: Duration = Duration::from_secs(1);
/// How many wakes may wait; more make the producer look at every tenant.
const WAKES_MAX: usize = 256;

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
            // The driver ended: nothing can come, and whoever waits is about to be told to stop.
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
    // The broker's prefetch is the bound; the channel only passes on.
    let (sender, deliveries) = mpsc::channel(1);
    let (state, observed) = watch::channel(BrokerState::Closed);
    let all_slots = slots.available_permits();
    let watchdog = Watchdog::default();
    let driver = ReceiverDriver {
        url,
        name: name.to_owned(),
        queues: queues.to_vec(),
        slots,
        all_slots,
        deliveries: sender,
        state,
        watchdog: watchdog.clone(),
    };
    (Receiver { deliveries, state: observed, watchdog }, Box::pin(driver.run()))
}

struct ReceiverDriver {
    url: AmqpUrl,
    name: String,
    queues: Vec<String>,
    slots: Arc<Semaphore>,
    all_slots: usize,
    deliveries: mpsc::Sender<Delivery>,
    state: watch::Sender<BrokerState>,
    watchdog: Watchdog,
}

/// Why a session ended in peace.
enum End {
    /// Nobody receives any more.
    Unwanted,
    /// More slots are free than deliveries were asked for: subscribe anew.
    Widen,
}

impl ReceiverDriver {
    /// Keeps a session alive until the [`Receiver`] is dropped.
    async fn run(self) {
        let mut reconnect = Reconnect::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
        let mut complained = false;
        loop {
            self.watchdog.ping();
            let fault = match self.session(&mut reconnect, &mut complained).await {
                Ok(()) => return,
                Err(fault) => fault,
            };
            self.state.send_replace(BrokerState::Closed);
            if !complained {
                warn!(broker = %self.url, "no connection to the broker for receiving, trying on: {fault}");
                complained = true;
            }
            tokio::select! {
                () = tokio::time::sleep(reconnect.next_wait()) => {}
                () = self.deliveries.closed() => return,
            }
        }
    }

    async fn session(&self, reconnect: &mut Reconnect, complained: &mut bool) -> Result<(), Fault> {
        let Session { connection, version } = connect(&self.url, &self.name).await?;
        let channel = open_channel(&connection).await?;
        declare_jobs(&channel, &self.queues, version.as_deref()).await?;
        info!(broker = %self.url, "connected to the broker for receiving");
        *complained = false;
        reconnect.reset();
        loop {
            // Handlers of a lost session may still hold slots. What they were given comes again,
            // is refused by the claim and acknowledged; ask for no more than can run besides. One
            // slot is always held for the delivery that comes next.
            let granted = (self.slots.available_permits() + 1).min(self.all_slots.max(1));
            let channel = open_channel(&connection).await?;
            let streams = self.subscribe(&channel, granted).await?;
            self.state.send_replace(BrokerState::Open);
            match self.forward(&channel, streams, granted).await? {
                End::Unwanted => {
                    close(&connection).await;
                    return Ok(());
                }
                End::Widen => debug!("asking the broker for as many deliveries as there are slots"),
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
    ) -> Result<End, Fault> {
        let mut widen = tokio::time::interval(WIDEN_EVERY);
        let taking = streams.len();
        let unacknowledged = Arc::new(());
        let acks = Arc::new(Acks::new(channel.clone()));
        loop {
            self.watchdog.ping();
            tokio::select! {
                biased;
                () = self.deliveries.closed() => return Ok(End::Unwanted),
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
                        if !self.hand_over(delivery).await {
                            return Ok(End::Unwanted);
                        }
                    }
                    Some(Err(error)) => return Err(Fault::Broker("receiving", error)),
                    None => return Err(Fault::Ended("the broker cancelled the consumer")),
                },
                _ = widen.tick() => {
                    // A stream that ends by itself was cancelled by the broker: its queue is gone.
                    if streams.len() < taking {
                        return Err(Fault::Ended("the broker cancelled a consumer: its queue was deleted"));
                    }
                    let in_use = Arc::strong_count(&unacknowledged) - 1;
                    let idle_slots = self.slots.available_permits();
                    if granted < self.all_slots && in_use >= granted && idle_slots > 0 {
                        return Ok(End::Widen);
                    }
                }
            }
        }
    }

    /// Waits until there is a slot, however long that takes. False: nobody receives any more.
    async fn hand_over(&self, delivery: Delivery) -> bool {
        let mut handed = pin!(self.deliveries.send(delivery));
        loop {
            match timeout(PING_EVERY, &mut handed).await {
                Ok(handed) => return handed.is_ok(),
                Err(_) => self.watchdog.ping(),
            }
        }
    }
}

/// What the management UI shows beside the queue.
fn consumer_tag(name: &str, queue: &str) -> ShortString {
    let mut tag = format!("{name} {queue}");
    tag.truncate(tag.floor_char_boundary(250));
    tag.into()
}

/// Acknowledges one delivery on the channel it came by.
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

/// Hears wakes through a driver that keeps one connection alive.
pub(in crate::queue) struct Wakes {
    heard: mpsc::Receiver<Option<TenantId>>,
    watchdog: Watchdog,
}

impl Wakes {
    pub(in crate::queue) async fn next(&mut self) -> Option<TenantId> {
        match self.heard.recv().await {
            Some(tenant) => tenant,
            None => std::future::pending().await,
        }
    }

    pub(in crate::queue) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }
}

pub(in crate::queue) fn wakes(url: AmqpUrl, name: &str) -> (Wakes, Driver) {
    let (sender, heard) = mpsc::channel(WAKES_MAX);
    let (name, watchdog) = (name.to_owned(), Watchdog::default());
    let driver = hear(url, name, sender, watchdog.clone());
    (Wakes { heard, watchdog }, Box::pin(driver))
}

async fn hear(
    url: AmqpUrl,
    name: String,
    wakes: mpsc::Sender<Option<TenantId>>,
    watchdog: Watchdog,
) {
    let mut reconnect = Reconnect::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
    let mut complained = false;
    loop {
        watchdog.ping();
        let fault = match listen(&url, &name).await {
            Ok((connection, mut consumer)) => {
                reconnect.reset();
                complained = false;
                // Wakes may have been missed before this moment.
                if wakes.send(None).await.is_err() {
                    return;
                }
                let ended = pass_on(&mut consumer, &wakes, &watchdog).await;
                close(&connection).await;
                match ended {
                    Some(fault) => fault,
                    None => return,
                }
            }
            Err(fault) => fault,
        };
        if !complained {
            warn!(broker = %url, "no connection to the broker for wakes, trying on: {fault}");
            complained = true;
        }
        tokio::select! {
            () = tokio::time::sleep(reconnect.next_wait()) => {}
            () = wakes.closed() => return,
        }
    }
}

/// Consumes from a queue of this process's own, which goes with the connection.
async fn listen(url: &AmqpUrl, name: &str) -> Result<(Connection, Consumer), Fault> {
    let Session { connection, .. } = connect(url, name).await?;
    let channel = open_channel(&connection).await?;
    declare_wake(&channel).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let declared = channel.queue_declare("".into(), own, FieldTable::default());
    let queue = answer("declare a queue for wakes", declared).await?.name().clone();
    let bound = channel.queue_bind(
        queue.clone(),
        WAKE_EXCHANGE.into(),
        "".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    answer("bind the queue for wakes", bound).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() };
    let consume = channel.basic_consume(queue, name.into(), options, FieldTable::default());
    Ok((connection, answer("consume wakes", consume).await?))
}

/// Passes wakes on until the connection fails; none when nobody listens any more.
async fn pass_on(
    consumer: &mut Consumer,
    wakes: &mpsc::Sender<Option<TenantId>>,
    watchdog: &Watchdog,
) -> Option<Fault> {
    loop {
        watchdog.ping();
        let wake = tokio::select! {
            wake = consumer.next().fuse() => wake,
            () = wakes.closed() => return None,
            () = tokio::time::sleep(PING_EVERY) => continue,
        };
        match wake {
            Some(Ok(delivery)) => {
                let text = String::from_utf8(delivery.data).unwrap_or_default();
                // What is no tenant's id is somebody's mistake, and harmless.
                if let Ok(tenant) = text.parse()
                    && wakes.try_send(Some(tenant)).is_err()
                {
                    return Some(Fault::Ended("wakes came faster than they were heard"));
                }
            }
            Some(Err(error)) => return Some(Fault::Broker("hearing wakes", error)),
            None => return Some(Fault::Ended("the broker cancelled the consumer")),
        }
    }
}
