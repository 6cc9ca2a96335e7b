//! Receives wakes from RabbitMQ for a producer.

use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::mpsc;

use super::keep_connected::{BrokerSession, Link, keep_connected};
use super::{
    AmqpUrl, Connected, Fault, WAKE_EXCHANGE, answer, close, connect, declare_wake, open_channel,
    short,
};
use crate::liveness::{PING_EVERY, Watchdog};
use crate::queue::wake::{WaitingWake, WaitingWakes};
use crate::queue::{Driver, Wake};
use crate::random::Random;

/// How many wakes may wait. If more come, the session ends, and the next one starts with
/// [`Wake::All`].
const WAKES_MAX: usize = 256;

/// Receives wakes through a driver that keeps one connection alive.
pub(in crate::queue) struct Wakes {
    received: mpsc::Receiver<WaitingWake>,
    watchdog: Watchdog,
}

impl Wakes {
    pub(in crate::queue) async fn next(&mut self) -> Wake {
        match self.received.recv().await {
            Some(wake) => wake.take(),
            None => std::future::pending().await,
        }
    }

    pub(in crate::queue) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }
}

pub(in crate::queue) fn wakes(url: AmqpUrl, name: &str) -> (Wakes, Driver) {
    let (wakes, received) = mpsc::channel(WAKES_MAX);
    let watchdog = Watchdog::default();
    let session = WakeSession {
        url: url.clone(),
        name: name.to_owned(),
        wakes,
        waiting: WaitingWakes::default(),
        watchdog: watchdog.clone(),
    };
    let driver = keep_connected(url, watchdog.clone(), session);
    (Wakes { received, watchdog }, Box::pin(driver))
}

struct WakeSession {
    url: AmqpUrl,
    name: String,
    wakes: mpsc::Sender<WaitingWake>,
    waiting: WaitingWakes,
    watchdog: Watchdog,
}

impl BrokerSession for WakeSession {
    const PURPOSE: &str = "wakes";

    async fn serve(&mut self, link: &mut Link) -> Result<(), Fault> {
        let (connection, mut consumer) = listen(&self.url, &self.name).await?;
        link.connected();
        // Wakes may have been missed before this moment.
        if let Some(all) = self.waiting.add(Wake::All)
            && self.wakes.send(all).await.is_err()
        {
            return Ok(());
        }
        let ended = self.forward(&mut consumer).await;
        close(&connection).await;
        ended
    }

    async fn unneeded(&mut self) {
        self.wakes.closed().await;
    }
}

impl WakeSession {
    /// Forwards wakes until the connection fails; `Ok` when the receiver was dropped.
    async fn forward(&self, consumer: &mut Consumer) -> Result<(), Fault> {
        loop {
            self.watchdog.ping();
            let delivery = tokio::select! {
                delivery = consumer.next().fuse() => delivery,
                () = self.wakes.closed() => return Ok(()),
                () = tokio::time::sleep(PING_EVERY) => continue,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    // A body that is not a wake came from another program, and is harmless.
                    if let Some(wake) = Wake::decode(&delivery.data)
                        && let Some(wake) = self.waiting.add(wake)
                        && self.wakes.try_send(wake).is_err()
                    {
                        return Err(Fault::Ended("wakes came faster than they were received"));
                    }
                }
                Some(Err(error)) => return Err(Fault::Broker("receiving wakes", error)),
                None => return Err(Fault::Ended("the broker cancelled the consumer")),
            }
        }
    }
}

async fn listen(url: &AmqpUrl, name: &str) -> Result<(Connection, Consumer), Fault> {
    let Connected { connection, .. } = connect(url, name).await?;
    let channel = open_channel(&connection).await?;
    let consumer = subscribe(&channel, name).await?;
    Ok((connection, consumer))
}

/// Consumes from an exclusive queue, which the broker deletes with the connection. Its name is ours, so that
/// rights on `polychron.*` suffice, and new each time, since the queue of a lost connection may still exist.
pub(super) async fn subscribe(channel: &Channel, name: &str) -> Result<Consumer, Fault> {
    declare_wake(channel).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let new = u64::from_be_bytes(Random::system().bytes());
    let declared = channel.queue_declare(
        short(format!("{WAKE_EXCHANGE}.{new:016x}")),
        own,
        FieldTable::default(),
    );
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
    answer("consume wakes", consume).await
}
