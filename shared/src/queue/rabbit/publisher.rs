//! Publishes to RabbitMQ, with confirms.
//!
//! Whoever publishes asks a driver, which keeps one connection alive (`publisher/session.rs`).

mod session;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use self::session::OpenSession;
use super::{ANSWER_LIMIT, AmqpUrl, RECONNECT_WAITS};
use crate::id::TenantId;
use crate::liveness::Watchdog;
use crate::message::Outgoing;
use crate::queue::{BrokerState, Confirm, Depth, Driver};
use crate::reconnect::Reconnect;

/// How long the driver may be behind its callers' wishes.
const COMMANDS_MAX: usize = 64;
/// The longest wait for the broker's word on a batch.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
const _: () = assert!(ANSWER_LIMIT.as_secs() <= CONFIRM_LIMIT.as_secs());

/// Publishes through a driver that keeps one connection alive.
#[derive(Clone)]
pub(in crate::queue) struct Publisher {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<BrokerState>,
    watchdog: Watchdog,
}

enum Command {
    Publish(Vec<Outgoing>, oneshot::Sender<Vec<Confirm>>),
    Depth(String, oneshot::Sender<Option<Depth>>),
    Wake(TenantId),
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
    let driver = PublisherDriver {
        url,
        name: name.to_owned(),
        queues: queues.to_vec(),
        commands: received,
        state,
        watchdog: watchdog.clone(),
    };
    (Publisher { commands, state: observed, watchdog }, Box::pin(driver.run()))
}

impl Publisher {
    pub(in crate::queue) async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Confirm> {
        let count = messages.len();
        let mut confirms =
            self.ask(|reply| Command::Publish(messages, reply)).await.unwrap_or_default();
        // The broker may have blocked the connection in the middle of them.
        confirms.resize(count, Confirm::Unknown);
        confirms
    }

    pub(in crate::queue) async fn depth(&self, queue: &str) -> Option<Depth> {
        self.ask(|reply| Command::Depth(queue.to_owned(), reply)).await.flatten()
    }

    pub(in crate::queue) async fn wake(&self, tenant: TenantId) {
        if *self.state.borrow() == BrokerState::Open {
            // A wake that finds no room is not missed: the producer looks by itself in time.
            let _ = self.commands.try_send(Command::Wake(tenant));
        }
    }

    pub(in crate::queue) async fn bury(&self, body: Vec<u8>, reason: &str) -> bool {
        let confirms = self.ask(|reply| Command::Bury(body, reason.to_owned(), reply)).await;
        confirms.is_some_and(|confirms| confirms == [Confirm::Confirmed])
    }

    pub(in crate::queue) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    pub(in crate::queue) fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// None: there is no connection, or it was lost before the answer came.
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

struct PublisherDriver {
    url: AmqpUrl,
    name: String,
    queues: Vec<String>,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<BrokerState>,
    watchdog: Watchdog,
}

impl PublisherDriver {
    /// Keeps a session alive until the last [`Publisher`] is dropped.
    async fn run(mut self) {
        let mut reconnect = Reconnect::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
        let mut complained = false;
        loop {
            self.watchdog.ping();
            let fault = match OpenSession::open(&self.url, &self.name, &self.queues).await {
                Ok(session) => {
                    info!(broker = %self.url, "connected to the broker for publishing");
                    complained = false;
                    reconnect.reset();
                    self.state.send_replace(BrokerState::Open);
                    let ended =
                        session.serve(&mut self.commands, &self.state, &self.watchdog).await;
                    self.state.send_replace(BrokerState::Closed);
                    match ended {
                        Ok(()) => return,
                        Err(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            if !complained {
                warn!(broker = %self.url, "no connection to the broker for publishing, trying on: {fault}");
                complained = true;
            }
            // Whoever asked meanwhile is told, by dropping the reply, that there is no answer.
            let wait = tokio::time::sleep(reconnect.next_wait());
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    command = self.commands.recv() => if command.is_none() { return },
                }
            }
        }
    }
}
