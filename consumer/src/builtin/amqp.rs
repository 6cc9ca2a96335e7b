//! The job type `amqp`: publishes a message to one of the user's exchanges, for workers in any
//! language.
//!
//! ```json
//! {"exchange": "billing", "routing_key": "invoice.send", "body": {"invoice": 7},
//!  "headers": {"priority": "low"}}
//! ```
//!
//! Only exchanges that the operator has listed can be used; `{tenant}` in a listed name stands for
//! the slug of the job's tenant. The message is persistent and `mandatory`: the job succeeds once the
//! broker has confirmed that it is in a queue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::queue::{AmqpUrl, Posted, post};

use crate::{Context, Handler, HandlerError};

/// Publishes messages.
pub(super) struct Amqp {
    broker: AmqpUrl,
    exchanges: Vec<String>,
}

/// The payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Letter {
    exchange: String,
    #[serde(default)]
    routing_key: String,
    /// A string is sent as plain text, anything else as JSON.
    #[serde(default)]
    body: Value,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The result: what the broker has confirmed.
#[derive(Serialize)]
pub(super) struct Confirmed {
    confirmed: bool,
    exchange: String,
    routing_key: String,
    message_id: String,
}

impl Amqp {
    /// Publishes to these exchanges of this broker.
    pub(super) fn new(broker: AmqpUrl, exchanges: Vec<String>) -> Amqp {
        Amqp { broker, exchanges }
    }

    fn allows(&self, exchange: &str, tenant: &str) -> bool {
        self.exchanges.iter().any(|allowed| allowed.replace("{tenant}", tenant) == exchange)
    }
}

impl Handler<Letter> for Amqp {
    type Output = Confirmed;

    async fn run(&self, letter: Letter, context: Context) -> Result<Confirmed, HandlerError> {
        let Letter { exchange, routing_key, body, headers } = letter;
        if !self.allows(&exchange, &context.tenant_slug) {
            let why = "payload.exchange is not listed in POLYCHRON_EXCHANGES";
            return Err(HandlerError::new(why).final_());
        }
        // The limit of AMQP's short strings.
        if routing_key.len() > 255 || headers.keys().any(|name| name.len() > 255) {
            let why = "payload.routing_key or the name of a header is longer than 255 bytes";
            return Err(HandlerError::new(why).final_());
        }
        let (body, content_type) = match body {
            Value::String(text) => (text.into_bytes(), "text/plain"),
            json => (json.to_string().into_bytes(), "application/json"),
        };
        let mut headers = headers;
        headers.extend([
            ("polychron-tenant".to_owned(), context.tenant_slug.clone()),
            ("polychron-job".to_owned(), context.job_name.clone()),
            ("polychron-execution".to_owned(), context.execution.to_string()),
            ("polychron-attempt".to_owned(), context.attempt.to_string()),
            ("polychron-scheduled-for".to_owned(), context.scheduled_for.to_rfc3339()),
        ]);
        let message_id = context.idempotency_key();
        let posted = Posted {
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
            body,
            content_type,
            message_id: message_id.clone(),
            headers,
        };
        tokio::select! {
            sent = post(&self.broker, posted) => sent.map_err(HandlerError::new)?,
            () = context.cancelled.cancelled() => return Err(HandlerError::new("stopped")),
        }
        Ok(Confirmed { confirmed: true, exchange, routing_key, message_id })
    }
}
