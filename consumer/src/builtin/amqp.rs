//! The job type `amqp`: publishes a message to an exchange of the user's, so that workers in any
//! language can be driven by our schedules.
//!
//! ```json
//! {"exchange": "billing", "routing_key": "invoice.send", "body": {"invoice": 7},
//!  "headers": {"priority": "low"}}
//! ```
//!
//! Only exchanges that the operator has named may be published to; `{tenant}` in such a name
//! stands for the slug of the tenant whose job it is. The message is persistent and `mandatory`:
//! the job succeeds when the broker has confirmed that a queue has it.

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

/// A payload of the type `amqp`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Letter {
    exchange: String,
    #[serde(default)]
    routing_key: String,
    /// A text is sent as it is, anything else as JSON.
    #[serde(default)]
    body: Value,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// What the broker has confirmed.
#[derive(Serialize)]
pub(super) struct Confirmed {
    confirmed: bool,
    exchange: String,
    routing_key: String,
    message_id: String,
}

impl Amqp {
    /// Publishes through this broker, to these exchanges.
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
            let why = "payload.exchange is none that the operator has named (POLYCHRON_EXCHANGES)";
            return Err(HandlerError::new(why).final_());
        }
        // AMQP's short strings end there.
        if routing_key.len() > 255 || headers.keys().any(|name| name.len() > 255) {
            let why = "payload.routing_key, or a header's name, is longer than 255 bytes";
            return Err(HandlerError::new(why).final_());
        }
        let (body, content_type) = match body {
            Value::String(text) => (text.into_bytes(), "text/plain"),
            json => (json.to_string().into_bytes(), "application/json"),
        };
        let mut all: BTreeMap<String, String> = headers;
        all.extend([
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
            headers: all,
        };
        tokio::select! {
            sent = post(&self.broker, posted) => sent.map_err(HandlerError::new)?,
            () = context.cancelled.cancelled() => return Err(HandlerError::new("stopped")),
        }
        Ok(Confirmed { confirmed: true, exchange, routing_key, message_id })
    }
}
