//! `polychron.dead`, the queue of messages that no consumer could parse.
//!
//! It is declared without a limit: an argument that a version adds makes the declarations of all
//! others fail, and so does an existing queue without it. Whoever buries a message or reads the
//! queue's depth removes the oldest ones beyond [`DEAD_MAX`] instead.

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use super::{AmqpUrl, Connected, DEAD_QUEUE, Fault, answer, close, connect, open_channel};
use crate::printable;

/// The most messages that stay in the queue.
pub(in crate::queue) const DEAD_MAX: u32 = 1000;
/// The most bytes that are kept of a body.
pub(in crate::queue) const BODY_BYTES_MAX: usize = 128 * 1024;
/// How many messages are removed at a time, so that a flood does not keep its remover busy.
const TRIMMED_MAX: u32 = 500;
/// The most bytes that are shown of a body, and of a reason.
const SHOWN_BYTES_MAX: usize = 1000;
/// The header that says why a message was buried.
pub(super) const REASON: &str = "reason";
/// The header that says how long its body was.
pub(super) const LENGTH: &str = "bytes";

/// A message that no consumer could parse, printable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeadMessage {
    /// Why it could not be parsed.
    pub reason: Option<String>,
    /// The length of its body.
    pub bytes: i64,
    /// The start of its body; what is no UTF-8, and what a terminal would act on, is escaped.
    pub body: String,
}

/// The number of messages; the oldest beyond [`DEAD_MAX`] are removed. Zero if there is no queue.
/// The channel is replaced if the broker closed it, as it does for a missing queue.
pub(super) async fn depth(connection: &Connection, channel: &mut Channel) -> Result<u32, Fault> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let asked = channel.queue_declare(DEAD_QUEUE.into(), passive, FieldTable::default());
    match answer("ask for the depth of polychron.dead", asked).await {
        Ok(queue) => {
            let count = queue.message_count();
            let excess = count.saturating_sub(DEAD_MAX).min(TRIMMED_MAX);
            for removed in 0..excess {
                if !remove_oldest(channel).await? {
                    return Ok(count - removed);
                }
            }
            Ok(count - excess)
        }
        Err(Fault::Broker(_, error)) if error.is_amqp_soft_error() => {
            *channel = open_channel(connection).await?;
            Ok(0)
        }
        Err(fault) => Err(fault),
    }
}

/// Removes the oldest message unless no more than [`DEAD_MAX`] are left, as when several processes trim
/// the queue at once. Returns whether it did.
async fn remove_oldest(channel: &Channel) -> Result<bool, Fault> {
    let oldest = channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions { no_ack: false });
    let Some(oldest) = answer("trim polychron.dead", oldest).await? else { return Ok(false) };
    let (tag, is_excess) = (oldest.delivery.delivery_tag, oldest.message_count >= DEAD_MAX);
    if is_excess {
        let acked = channel.basic_ack(tag, BasicAckOptions::default());
        answer("trim polychron.dead", acked).await?;
    } else {
        let back = BasicNackOptions { requeue: true, ..Default::default() };
        answer("return a message to polychron.dead", channel.basic_nack(tag, back)).await?;
    }
    Ok(is_excess)
}

/// The oldest messages, which stay in the queue.
///
/// # Errors
/// A sentence that says why the broker did not answer.
pub async fn list_dead(url: &AmqpUrl, limit: u32) -> Result<Vec<DeadMessage>, String> {
    let listing = async {
        let (connection, mut channel) = open(url).await?;
        let count = depth(&connection, &mut channel).await?.min(limit);
        let mut found = Vec::new();
        let mut last = None;
        for _ in 0..count {
            let got = channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions { no_ack: false });
            let Some(message) = answer("read polychron.dead", got).await? else { break };
            last = Some(message.delivery.delivery_tag);
            found.push(shown(&message));
        }
        if let Some(tag) = last {
            let options = BasicNackOptions { multiple: true, requeue: true };
            answer("return messages to polychron.dead", channel.basic_nack(tag, options)).await?;
        }
        close(&connection).await;
        Ok::<_, Fault>(found)
    };
    listing.await.map_err(|fault| fault.to_string())
}

/// Removes all messages, and returns how many there were.
///
/// # Errors
/// A sentence that says why the broker did not answer.
pub async fn empty_dead(url: &AmqpUrl) -> Result<u32, String> {
    let emptying = async {
        let (connection, mut channel) = open(url).await?;
        let removed = match depth(&connection, &mut channel).await? {
            0 => 0,
            _ => {
                let purged = channel.queue_purge(DEAD_QUEUE.into(), QueuePurgeOptions::default());
                answer("empty polychron.dead", purged).await?
            }
        };
        close(&connection).await;
        Ok::<_, Fault>(removed)
    };
    emptying.await.map_err(|fault| fault.to_string())
}

async fn open(url: &AmqpUrl) -> Result<(Connection, Channel), Fault> {
    let Connected { connection, .. } = connect(url, "polychron dead").await?;
    let channel = open_channel(&connection).await?;
    Ok((connection, channel))
}

fn shown(message: &BasicGetMessage) -> DeadMessage {
    let body = &message.delivery.data;
    let headers = message.delivery.properties.headers().as_ref().map(FieldTable::inner);
    let header = |name: &str| headers.and_then(|headers| headers.get(name));
    let reason = match header(REASON) {
        Some(AMQPValue::LongString(text)) => Some(start(text.as_bytes())),
        _ => None,
    };
    let bytes = match header(LENGTH) {
        Some(AMQPValue::LongLongInt(bytes)) => *bytes,
        _ => body.len() as i64,
    };
    DeadMessage { reason, bytes, body: start(body) }
}

/// The start of a stranger's text, on one line.
fn start(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    printable::line(&String::from_utf8_lossy(kept)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_bytes_are_shown_safely_and_not_whole() {
        assert_eq!(start(b"\xff\x1b[2J\nx"), "\u{fffd}\\u{1b}[2J\\nx");
        assert_eq!(start("\u{202e}".as_bytes()), "\\u{202e}");
        assert_eq!(start(&[b'x'; 5000]).len(), SHOWN_BYTES_MAX);
    }
}
