//! Publishes to RabbitMQ, with confirms.
//!
//! A [`Publisher`] sends commands to a driver, which keeps one connection alive
//! (`publisher/session.rs`).

mod session;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use self::session::OpenSession;
use super::keep_connected::{BrokerSession, Link, keep_connected};
use super::{ANSWER_LIMIT, AmqpUrl, Fault};
use crate::liveness::Watchdog;
use crate::message::Outgoing;
use crate::queue::wake::{WaitingWake, WaitingWakes};
use crate::queue::{BrokerState, Confirm, Depth, Driver, Wake};

/// How many commands may wait for the driver.
const COMMANDS_MAX: usize = 64;
/// The longest wait for the confirms of a batch.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
const _: () = assert!(ANSWER_LIMIT.as_secs() <= CONFIRM_LIMIT.as_secs());

/// Publishes through a driver that keeps one connection alive.
#[derive(Clone)]
pub(in crate::queue) struct Publisher {
    commands: mpsc::Sender<Command>,
    wakes: WaitingWakes,
    state: watch::Receiver<BrokerState>,
    watchdog: Watchdog,
}

enum Command {
    Publish(Vec<Outgoing>, oneshot::Sender<Vec<Confirm>>),
    Depth(String, oneshot::Sender<Option<Depth>>),
    DeadDepth(oneshot::Sender<Option<u32>>),
    Wake(WaitingWake),
    Bury(Vec<u8>, String, oneshot::Sender<Vec<Confirm>>),
}

pub(in crate::queue) fn publisher(
    url: AmqpUrl,
    name: &str,
    queues: &[String],
) -> (Publisher, Driver) {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (state, observed) = watch::channel(BrokerState::Closed);
    let watchdog = Watchdog::default();
    let session = PublishingSession {
        url: url.clone(),
        name: name.to_owned(),
        queues: queues.to_vec(),
        commands: received,
        state,
        watchdog: watchdog.clone(),
    };
    let driver = keep_connected(url, watchdog.clone(), session);
    let wakes = WaitingWakes::default();
    (Publisher { commands, wakes, state: observed, watchdog }, Box::pin(driver))
}

impl Publisher {
    pub(in crate::queue) async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Confirm> {
        let count = messages.len();
        let mut confirms =
            self.ask(|reply| Command::Publish(messages, reply)).await.unwrap_or_default();
        // The broker may have blocked the connection after some of them.
        confirms.resize(count, Confirm::Unknown);
        confirms
    }

    pub(in crate::queue) async fn depth(&self, queue: &str) -> Option<Depth> {
        self.ask(|reply| Command::Depth(queue.to_owned(), reply)).await.flatten()
    }

    pub(in crate::queue) async fn dead_depth(&self) -> Option<u32> {
        self.ask(Command::DeadDepth).await.flatten()
    }

    pub(in crate::queue) async fn wake(&self, wake: Wake) {
        if *self.state.borrow() == BrokerState::Open
            && let Some(wake) = self.wakes.add(wake)
        {
            // A wake that is lost here only costs time: the producer polls at its interval.
            let _ = self.commands.try_send(Command::Wake(wake));
        }
    }

    pub(in crate::queue) async fn bury(&self, body: Vec<u8>, reason: &str) -> Confirm {
        let confirms = self.ask(|reply| Command::Bury(body, reason.to_owned(), reply)).await;
        confirms.and_then(|confirms| confirms.into_iter().next()).unwrap_or(Confirm::Unknown)
    }

    pub(in crate::queue) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    pub(in crate::queue) fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Sends a command, and returns its answer. None: there is no connection, or it was lost before the
    /// answer came.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        if *self.state.borrow() != BrokerState::Open {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.commands.send(command(reply)).await.ok()?;
            answer.await.ok()
        };
        timeout(CONFIRM_LIMIT + Duration::from_secs(2), ask).await.ok().flatten()
    }
}

struct PublishingSession {
    url: AmqpUrl,
    name: String,
    queues: Vec<String>,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<BrokerState>,
    watchdog: Watchdog,
}

impl BrokerSession for PublishingSession {
    const PURPOSE: &str = "publishing";

    async fn serve(&mut self, link: &mut Link) -> Result<(), Fault> {
        let session = OpenSession::open(&self.url, &self.name, &self.queues).await?;
        link.connected();
        self.state.send_replace(BrokerState::Open);
        let ended = session.serve(&mut self.commands, &self.state, &self.watchdog).await;
        self.state.send_replace(BrokerState::Closed);
        ended
    }

    /// Drops the commands that come meanwhile. Each caller learns from its dropped reply that there is
    /// no answer.
    async fn unneeded(&mut self) {
        while self.commands.recv().await.is_some() {}
    }
}
