//! RabbitMQ: the topology that operators see in its management UI, and how to connect.
//!
//! Reconnecting is implemented here (`rabbit/keep_connected.rs`), because lapin's own recovery has hung,
//! does not notify a consumer whose channel died, and gives up after some attempts. A session serves until
//! anything about it fails, is dropped as a whole, and is opened again after a growing wait with jitter,
//! without end. Every await on the broker has a limit, because a broker that is blocked or half
//! disconnected never answers.

mod acks;
mod address;
mod dead;
mod header_depth;
mod keep_connected;
mod post;
mod publisher;
mod receiver;
mod wakes;

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::timeout;

pub use address::{AmqpUrl, InvalidAmqpUrl};
use dead::BODY_BYTES_MAX;
pub use dead::{DeadMessage, empty_dead, list_dead};
pub use post::{Posted, post};
pub(super) use publisher::{Publisher, publisher};
pub(super) use receiver::{Receipt, Receiver, receiver};
pub(super) use wakes::{Wakes, wakes};

/// A direct exchange, which routes messages to the queue that their routing key names.
const JOBS_EXCHANGE: &str = "polychron.jobs";
/// A fanout exchange, which delivers wakes to every producer.
const WAKE_EXCHANGE: &str = "polychron.wake";
/// Keeps messages that no consumer could parse, for inspection.
const DEAD_QUEUE: &str = "polychron.dead";

/// The most bytes of a name in AMQP, and of a header's value of ours.
const NAME_BYTES_MAX: usize = 255;

/// The longest wait for one answer of the broker.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait for the first bytes of a connection.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait for a connection to close; a blocked one never does.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The shortest and the longest wait before another attempt to connect.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why a session could not be opened, or ended. Its text contains no URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no connection within {limit} s", limit = PROBE_LIMIT.as_secs())]
    Unreachable,
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("the other side does not speak AMQP 0-9-1")]
    NotAmqp,
    #[error("{0}: no answer within {limit} s", limit = ANSWER_LIMIT.as_secs())]
    Silent(&'static str),
    #[error("{0}: {1}")]
    Broker(&'static str, lapin::Error),
    #[error("{0}")]
    Ended(&'static str),
}

/// What `polychron check` finds out about a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerReport {
    /// RabbitMQ's version; none over TLS, where it is not read.
    pub version: Option<String>,
}

/// Connects, declares what producers and consumers need, reads and writes as they do, and closes the connection.
///
/// # Errors
/// A sentence that says what failed.
pub async fn inspect(url: &AmqpUrl, queues: &[String]) -> Result<BrokerReport, String> {
    let inspection = async {
        let Connected { connection, version } = connect(url, "polychron check").await?;
        let channel = open_channel(&connection).await?;
        declare_jobs(&channel, queues, version.as_deref()).await?;
        declare_dead(&channel, version.as_deref()).await?;
        wakes::subscribe(&channel, "polychron check").await?;
        exercise_rights(&channel).await?;
        close(&connection).await;
        Ok::<_, Fault>(version)
    };
    match inspection.await {
        Ok(version) => Ok(BrokerReport { version }),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Publishes to our exchanges what reaches no queue and wakes no one, and reads.
async fn exercise_rights(channel: &Channel) -> Result<(), Fault> {
    let selected = channel.confirm_select(ConfirmSelectOptions::default());
    answer("ask for confirms", selected).await?;
    for (exchange, key, what) in [
        (JOBS_EXCHANGE, "polychron.check", "write to exchange polychron.jobs"),
        (WAKE_EXCHANGE, "", "write to exchange polychron.wake"),
    ] {
        let published = channel.basic_publish(
            exchange.into(),
            key.into(),
            BasicPublishOptions::default(),
            b"",
            BasicProperties::default(),
        );
        let confirm = answer(what, published).await?;
        answer(what, confirm).await?;
    }
    // Only of an empty queue: RabbitMQ 4 drops a message that was returned too often.
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let asked = channel.queue_declare(DEAD_QUEUE.into(), passive, FieldTable::default());
    if answer("ask for the depth of polychron.dead", asked).await?.message_count() == 0 {
        let got = channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions { no_ack: false });
        answer("read queue polychron.dead", got).await?;
    }
    Ok(())
}

struct Connected {
    connection: Connection,
    version: Option<String>,
}

/// Connects under a name that the management UI shows.
async fn connect(url: &AmqpUrl, name: &str) -> Result<Connected, Fault> {
    header_depth::warn_if_unbounded();
    // lapin leaks a thread for each attempt to connect that is given up, so an unresponsive peer is
    // detected before lapin is called.
    let version = match timeout(PROBE_LIMIT, address::probe(url)).await {
        Ok(version) => version?,
        Err(_) => return Err(Fault::Unreachable),
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = answer("connect", Connection::connect_uri(url.to_lapin(), properties)).await?;
    Ok(Connected { connection, version })
}

/// Closes a connection, if the broker answers.
async fn close(connection: &Connection) {
    // A connection that cannot be closed is dropped, which the broker detects.
    let _ = timeout(CLOSE_LIMIT, connection.close(200, "goodbye".into())).await;
}

async fn open_channel(connection: &Connection) -> Result<Channel, Fault> {
    answer("open a channel", connection.create_channel()).await
}

/// Awaits the broker's answer, for a limited time.
async fn answer<T>(
    what: &'static str,
    question: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Fault> {
    match timeout(ANSWER_LIMIT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Fault::Broker(what, error)),
        Err(_) => Err(Fault::Silent(what)),
    }
}

/// The exchange, and one durable queue for each name, bound by that name.
async fn declare_jobs(
    channel: &Channel,
    queues: &[String],
    version: Option<&str>,
) -> Result<(), Fault> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(
        JOBS_EXCHANGE.into(),
        ExchangeKind::Direct,
        durable,
        FieldTable::default(),
    );
    answer("declare exchange polychron.jobs", declared).await?;
    for queue in queues {
        let name = queue_name(queue);
        declare_queue(channel, &name, "declare a queue polychron.jobs.*", version).await?;
        let bound = channel.queue_bind(
            name,
            JOBS_EXCHANGE.into(),
            queue.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answer("bind a queue polychron.jobs.*", bound).await?;
    }
    Ok(())
}

async fn declare_dead(channel: &Channel, version: Option<&str>) -> Result<(), Fault> {
    declare_queue(channel, &DEAD_QUEUE.into(), "declare queue polychron.dead", version).await?;
    // To publish to it by the default exchange takes a right on `amq.default`. No queue of jobs has this
    // name: a dot is not allowed there.
    let bound = channel.queue_bind(
        DEAD_QUEUE.into(),
        JOBS_EXCHANGE.into(),
        DEAD_QUEUE.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    answer("bind queue polychron.dead", bound).await
}

async fn declare_wake(channel: &Channel) -> Result<(), Fault> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(
        WAKE_EXCHANGE.into(),
        ExchangeKind::Fanout,
        durable,
        FieldTable::default(),
    );
    answer("declare exchange polychron.wake", declared).await
}

/// Declares a durable queue, as a quorum queue if the broker has them (RabbitMQ 3.8 and later). There are
/// no other arguments: what operators may want to tune, or differs between versions, is left to their
/// policies.
async fn declare_queue(
    channel: &Channel,
    name: &ShortString,
    what: &'static str,
    version: Option<&str>,
) -> Result<(), Fault> {
    let mut arguments = FieldTable::default();
    if has_quorum_queues(version) {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    let declared = channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments);
    answer(what, declared).await.map(|_| ())
}

fn has_quorum_queues(version: Option<&str>) -> bool {
    let Some(version) = version else { return true };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (3, 8)
}

/// RabbitMQ's name of the queue that jobs call `queue`.
fn queue_name(queue: &str) -> ShortString {
    short(format!("polychron.jobs.{queue}"))
}

/// A name, cut to what AMQP allows: lapin panics at a longer one, and a tenant's rows may hold any.
fn short(mut name: String) -> ShortString {
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_name_that_is_too_long_is_cut() {
        assert_eq!(queue_name(&"ä".repeat(200)).as_str().len(), 255);
        assert_eq!(queue_name("default").as_str(), "polychron.jobs.default");
    }

    #[test]
    fn quorum_queues_came_with_3_8() {
        for (version, expected) in
            [("3.7.28", false), ("3.8.0", true), ("3.10.8", true), ("4.0.5", true), ("?", false)]
        {
            assert_eq!(has_quorum_queues(Some(version)), expected, "{version}");
        }
        assert!(has_quorum_queues(None));
    }
}
