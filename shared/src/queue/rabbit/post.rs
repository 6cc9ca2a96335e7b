//! Publishes one message to an exchange that belongs to another system, on a connection of its own.

use std::collections::BTreeMap;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};

use super::{AmqpUrl, Connected, Fault, answer, close, connect, open_channel};

/// A message for another system.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The exchange.
    pub exchange: String,
    /// The routing key, by which the exchange chooses queues.
    pub routing_key: String,
    /// The body.
    pub body: Vec<u8>,
    /// The body's content type.
    pub content_type: &'static str,
    /// The message's id, which stays the same when it is sent again.
    pub message_id: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
}

/// Publishes a message and awaits the broker's confirm. Dropping the future closes the connection.
///
/// # Errors
/// A sentence that says why the message may not be in any queue.
pub async fn post(url: &AmqpUrl, message: Posted) -> Result<(), String> {
    let Connected { connection, .. } =
        connect(url, "polychron amqp job").await.map_err(|fault| fault.to_string())?;
    let posted = async {
        // The channel must outlive the message: if it is dropped earlier, its close races with that of
        // the connection.
        let channel = open_channel(&connection).await?;
        let posted = post_on(&channel, message).await;
        close(&connection).await;
        posted
    };
    match posted.await {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
            Err("the broker has no queue for it: nothing is bound by that routing key".to_owned())
        }
        Ok(Confirmation::Nack(None)) => Err("the broker refused it".to_owned()),
        Ok(Confirmation::NotRequested) => Err("the broker did not confirm it".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

async fn post_on(channel: &Channel, message: Posted) -> Result<Confirmation, Fault> {
    let selected = channel.confirm_select(ConfirmSelectOptions::default());
    answer("ask for confirms", selected).await?;
    let mut headers = FieldTable::default();
    for (name, value) in message.headers {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(2) // persistent
        .with_content_type(message.content_type.into())
        .with_message_id(message.message_id.into())
        .with_app_id("polychron".into())
        .with_headers(headers);
    let published = channel.basic_publish(
        message.exchange.into(),
        message.routing_key.into(),
        BasicPublishOptions { mandatory: true, ..Default::default() },
        &message.body,
        properties,
    );
    let confirm = answer("publish", published).await?;
    answer("publish", confirm).await
}
