//! RabbitMQ: the topology that operators see in its management UI, and how a connection is made.
//!
//! Reconnecting is ours: lapin's own recovery has hung, gives no sign to a consumer whose channel
//! died, and ends for good after some tries. A session is built, serves until anything about it
//! fails, is dropped whole, and is built anew after a growing, jittered wait, for ever. Every
//! await on the broker has a limit, because one that is blocked or half cut off never answers.

mod acks;
mod address;
mod post;
mod publisher;
mod receiver;

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::timeout;

pub use address::{AmqpUrl, InvalidAmqpUrl};
pub use post::{Posted, post};
pub(super) use publisher::{Publisher, publisher};
pub(super) use receiver::{Receipt, Receiver, Wakes, receiver, wakes};

/// Direct: carries messages to the queues by their name.
const JOBS_EXCHANGE: &str = "polychron.jobs";
/// Fanout: carries tenants' ids to every producer.
const WAKE_EXCHANGE: &str = "polychron.wake";
/// Keeps what no consumer could parse, for people to look at.
const DEAD_QUEUE: &str = "polychron.dead";

/// The most bytes of a name in AMQP, and of a header's value of ours.
const NAME_BYTES_MAX: usize = 255;

/// The longest wait for one answer of the broker.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait for a connection's first bytes.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// How long to say goodbye; a blocked connection never hears it.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The shortest and longest wait between two tries to connect.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why a session could not be had or ended. The text holds no URL.
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

/// What one look at a broker found, for `polychron check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerReport {
    /// RabbitMQ's version; none over TLS, where it isn't read.
    pub version: Option<String>,
}

/// Connects, declares what a producer and a consumer need, and says goodbye.
///
/// # Errors
/// What failed, in a sentence.
pub async fn inspect(url: &AmqpUrl, queues: &[String]) -> Result<BrokerReport, String> {
    let look = async {
        let Session { connection, version } = connect(url, "polychron check").await?;
        let channel = open_channel(&connection).await?;
        declare_jobs(&channel, queues, version.as_deref()).await?;
        declare_dead(&channel, version.as_deref()).await?;
        declare_wake(&channel).await?;
        close(&connection).await;
        Ok::<_, Fault>(version)
    };
    match look.await {
        Ok(version) => Ok(BrokerReport { version }),
        Err(fault) => Err(fault.to_string()),
    }
}

struct Session {
    connection: Connection,
    version: Option<String>,
}

/// Connects, under a name that the management UI shows.
async fn connect(url: &AmqpUrl, name: &str) -> Result<Session, Fault> {
    // lapin leaves a thread behind for each try to connect that is given up, so a peer that
    // doesn't speak is found out before lapin is asked.
    let version = match timeout(PROBE_LIMIT, address::probe(url)).await {
        Ok(version) => version?,
        Err(_) => return Err(Fault::Unreachable),
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = answer("connect", Connection::connect_uri(url.to_lapin(), properties)).await?;
    Ok(Session { connection, version })
}

/// Says goodbye, if the broker listens.
async fn close(connection: &Connection) {
    // A connection that cannot be closed is dropped, which the broker notices as well.
    let _ = timeout(CLOSE_LIMIT, connection.close(200, "goodbye".into())).await;
}

async fn open_channel(connection: &Connection) -> Result<Channel, Fault> {
    answer("open a channel", connection.create_channel()).await
}

/// Waits for the broker's answer, but not for ever.
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
    declare_queue(channel, &DEAD_QUEUE.into(), "declare queue polychron.dead", version).await
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

/// A durable queue, a quorum queue wherever the broker has them (RabbitMQ 3.8 and later). Nothing
/// else is an argument: what is meant to be tuned, or means different things to different
/// versions, is for the operator's policies.
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

/// The queue that jobs of this `queue` are published to.
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
