//! One connection for publishing, with confirms.
//!
//! One task owns the confirm channel, because lapin swaps the confirms of two publishers on one channel.
//! Each batch's confirms are awaited in a task of their own, so that batches overlap.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event, PublisherConfirm};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::super::{
    AmqpUrl, BODY_BYTES_MAX, Connected, DEAD_QUEUE, Fault, JOBS_EXCHANGE, NAME_BYTES_MAX,
    WAKE_EXCHANGE, answer, close, connect, dead, declare_dead, declare_jobs, declare_wake,
    open_channel, queue_name, short,
};
use super::{CONFIRM_LIMIT, Command};
use crate::liveness::{PING_EVERY, Watchdog};
use crate::message::Outgoing;
use crate::queue::{BrokerState, Confirm, Depth, Wake};

/// The most messages that may wait for their confirm. lapin itself would buffer without limit.
const IN_FLIGHT_MAX: usize = 2048;
/// How many of them are handed to the connection at a time.
const WRITTEN_TOGETHER: usize = 100;

/// A connection with its channels, ready to publish.
pub(super) struct OpenSession {
    connection: Connection,
    /// For messages that must be confirmed. Only this task publishes on it.
    confirmed: Channel,
    /// For wakes and for reading depths. To read the depth of a queue that doesn't exist closes it.
    plain: Channel,
    version: Option<String>,
    in_flight: Arc<Semaphore>,
    /// Notified when a batch got no confirms although the broker isn't blocked.
    unresponsive: Arc<Notify>,
}

impl OpenSession {
    pub(super) async fn open(
        url: &AmqpUrl,
        name: &str,
        queues: &[String],
    ) -> Result<OpenSession, Fault> {
        let Connected { connection, version } = connect(url, name).await?;
        let plain = open_channel(&connection).await?;
        declare_jobs(&plain, queues, version.as_deref()).await?;
        declare_wake(&plain).await?;
        let confirmed = open_channel(&connection).await?;
        let select = confirmed.confirm_select(ConfirmSelectOptions::default());
        answer("select confirms", select).await?;
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let unresponsive = Arc::default();
        Ok(OpenSession { connection, confirmed, plain, version, in_flight, unresponsive })
    }

    /// Carries out commands until the connection fails; `Ok` when no publisher is left.
    pub(super) async fn serve(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        state: &watch::Sender<BrokerState>,
        watchdog: &Watchdog,
    ) -> Result<(), Fault> {
        let mut idle = tokio::time::interval(PING_EVERY);
        let mut events = Box::pin(self.connection.events_listener());
        let unresponsive = self.unresponsive.clone();
        loop {
            watchdog.ping();
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        warn!("the broker takes no messages: {reason}");
                        state.send_replace(BrokerState::Blocked);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        info!("the broker takes messages again");
                        state.send_replace(BrokerState::Open);
                    }
                    // Only the plain channel was closed, by reading the depth of a missing queue.
                    Some(Event::Error(error))
                        if error.is_amqp_soft_error() && self.confirmed.status().connected() => {}
                    Some(Event::Error(error)) => return Err(Fault::Broker("publishing", error)),
                    Some(_) => {}
                    None => return Err(Fault::Ended("the connection ended")),
                },
                () = unresponsive.notified() => return Err(Fault::Silent("confirm")),
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command).await?,
                    None => {
                        close(&self.connection).await;
                        return Ok(());
                    }
                },
                _ = idle.tick() => {}
            }
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), Fault> {
        match command {
            Command::Publish(messages, reply) => self.publish(messages, reply).await,
            Command::Depth(queue, reply) => {
                let depth = self.depth(&queue).await?;
                let _ = reply.send(depth); // the caller may have given up
                Ok(())
            }
            Command::Wake(wake) => self.wake(wake.take()).await,
            Command::DeadDepth(reply) => {
                let depth = dead::depth(&self.connection, &mut self.plain).await?;
                let _ = reply.send(Some(depth)); // the caller may have given up
                Ok(())
            }
            Command::Bury(mut body, reason, reply) => {
                declare_dead(&self.plain, self.version.as_deref()).await?;
                // Makes room, so that a flood of garbage does not fill the broker's disk.
                dead::depth(&self.connection, &mut self.plain).await?;
                let mut headers = FieldTable::default();
                let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
                headers.insert(dead::LENGTH.into(), AMQPValue::LongLongInt(length));
                body.truncate(BODY_BYTES_MAX);
                headers.insert(dead::REASON.into(), header(reason));
                let properties =
                    BasicProperties::default().with_delivery_mode(2).with_headers(headers);
                let (exchange, key) = (JOBS_EXCHANGE, DEAD_QUEUE);
                self.publish_each(
                    vec![(String::new(), exchange, key.into(), body, properties)],
                    reply,
                )
                .await
            }
        }
    }

    async fn publish(
        &mut self,
        messages: Vec<Outgoing>,
        reply: oneshot::Sender<Vec<Confirm>>,
    ) -> Result<(), Fault> {
        let each = messages.into_iter().map(|outgoing| {
            let id = outgoing.message.execution.to_string();
            let properties = properties(&outgoing, &id);
            (id, JOBS_EXCHANGE, short(outgoing.queue), outgoing.message.encode(), properties)
        });
        self.publish_each(each.collect(), reply).await
    }

    /// Publishes messages (id, exchange, routing key, body, properties), and spawns a task that awaits
    /// their confirms.
    async fn publish_each(
        &mut self,
        messages: Vec<(String, &str, ShortString, Vec<u8>, BasicProperties)>,
        reply: oneshot::Sender<Vec<Confirm>>,
    ) -> Result<(), Fault> {
        let permits = u32::try_from(messages.len().min(IN_FLIGHT_MAX)).unwrap_or(u32::MAX);
        let permit = self.in_flight.clone().acquire_many_owned(permits);
        let Ok(Ok(permit)) = timeout(CONFIRM_LIMIT, permit).await else {
            // The broker confirms nothing: it is blocked, or unresponsive, which the batches in flight
            // will find out.
            return Ok(());
        };
        let mut confirms = Vec::with_capacity(messages.len());
        let mut ids = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter();
        while messages.len() > 0 {
            if self.connection.status().blocked() {
                break; // lapin would only buffer the rest, whose confirms are unknown
            }
            // lapin answers once a message is written. To await each message by itself would cost two
            // context switches and a write.
            let channel = &self.confirmed;
            let together = messages.by_ref().take(WRITTEN_TOGETHER).map(
                |(id, exchange, key, body, properties)| {
                    ids.push(id);
                    async move {
                        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                        let exchange = exchange.into();
                        channel.basic_publish(exchange, key, options, &body, properties).await
                    }
                },
            );
            confirms.extend(answer("publish", try_join_all(together)).await?);
        }
        let batch = Batch { ids, confirms, reply, permit };
        let unresponsive = self.unresponsive.clone();
        tokio::spawn(batch.await_confirms(self.connection.status().clone(), unresponsive));
        Ok(())
    }

    /// Reads the depth of a queue; none: the queue doesn't exist.
    async fn depth(&mut self, queue: &str) -> Result<Option<Depth>, Fault> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let asked = self.plain.queue_declare(queue_name(queue), passive, FieldTable::default());
        match answer("ask for a queue's depth", asked).await {
            Ok(queue) => {
                Ok(Some(Depth { ready: queue.message_count(), consumers: queue.consumer_count() }))
            }
            Err(Fault::Broker(_, error)) if error.is_amqp_soft_error() => {
                self.plain = open_channel(&self.connection).await?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn wake(&mut self, wake: Wake) -> Result<(), Fault> {
        let Some(body) = wake.encode() else { return Ok(()) };
        let published = self.plain.basic_publish(
            WAKE_EXCHANGE.into(),
            "".into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            BasicProperties::default(),
        );
        answer("publish a wake", published).await.map(|_| ())
    }
}

/// Messages that wait for their confirms.
struct Batch {
    ids: Vec<String>,
    confirms: Vec<PublisherConfirm>,
    reply: oneshot::Sender<Vec<Confirm>>,
    permit: OwnedSemaphorePermit,
}

impl Batch {
    async fn await_confirms(self, status: lapin::ConnectionStatus, unresponsive: Arc<Notify>) {
        let Batch { ids, confirms, reply, permit } = self;
        // One after the other: a join of all would be woken by each.
        let answers = async {
            let mut answers = Vec::with_capacity(confirms.len());
            for confirm in confirms {
                answers.push(confirm.await);
            }
            answers
        };
        let Ok(answers) = timeout(CONFIRM_LIMIT, answers).await else {
            if !status.blocked() {
                unresponsive.notify_one();
            }
            return; // the dropped reply says that nothing is known
        };
        drop(permit);
        // lapin attaches a returned message to whichever confirm it handles next, so only the message's
        // own id says which message could not be routed.
        let mut returned = HashSet::new();
        let mut outcomes = Vec::with_capacity(ids.len());
        for answer in answers {
            let (outcome, message) = match answer {
                Ok(Confirmation::Ack(message)) => (Confirm::Confirmed, message),
                Ok(Confirmation::Nack(message)) => (Confirm::Refused, message),
                Ok(Confirmation::NotRequested) | Err(_) => (Confirm::Unknown, None),
            };
            outcomes.push(outcome);
            if let Some(message) = message {
                let id = message.delivery.properties.message_id();
                returned.extend(id.as_ref().map(|id| id.to_string()));
            }
        }
        for (outcome, id) in outcomes.iter_mut().zip(&ids) {
            if returned.contains(id) {
                *outcome = Confirm::Unroutable;
            }
        }
        let _ = reply.send(outcomes); // the caller may have given up
    }
}

/// What the management UI shows beside the message.
fn properties(outgoing: &Outgoing, id: &str) -> BasicProperties {
    let label = &outgoing.label;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("tenant", label.tenant.clone()),
        ("job", label.job.clone()),
        ("job_type", label.job_type.clone()),
        ("scheduled_for", label.scheduled_for.to_rfc3339()),
        ("traceparent", outgoing.message.traceparent()),
    ] {
        headers.insert(name.into(), header(value));
    }
    headers.insert("attempt".into(), AMQPValue::LongInt(label.attempt));
    BasicProperties::default()
        .with_delivery_mode(2) // persistent
        .with_content_type("application/json".into())
        .with_message_id(id.into())
        .with_app_id("polychron".into())
        .with_headers(headers)
}

/// A header's value, cut: headers have to fit in one frame, or the broker closes the connection that
/// all tenants' messages take.
fn header(mut value: String) -> AMQPValue {
    value.truncate(value.floor_char_boundary(NAME_BYTES_MAX));
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_cut_between_characters() {
        for (value, kept) in [("a".repeat(300), 255), ("ä".repeat(200), 254), ("x".into(), 1)] {
            let AMQPValue::LongString(value) = header(value) else { unreachable!() };
            assert_eq!(value.as_bytes().len(), kept);
            assert!(std::str::from_utf8(value.as_bytes()).is_ok());
        }
    }
}
