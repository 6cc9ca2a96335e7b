//! The job type `notification`: sends a webhook about what happened to a job.
//!
//! The engine creates executions of this type (`shared/src/notification.rs` says when). They are sent
//! like `http` jobs, under the same rules. A manual run has no event and sends the event `test`, to
//! try the target.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::Network;
use shared::notification::Event;

use super::http::{Answered, Http, Request};
use crate::{Context, Handler, HandlerError};

/// Sends notifications.
pub(super) struct Notification(Http);

/// The target and the event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    signing_secret: Option<String>,
    #[expect(
        dead_code,
        reason = "events that are not listed have no execution; a test is always sent"
    )]
    on: Option<Vec<Event>>,
    /// What happened: a [`NotificationPayload`](shared::notification::NotificationPayload). Rows that
    /// were written before the key had this name call it `news`.
    #[serde(alias = "news")]
    notification: Option<Value>,
}

impl Notification {
    /// Calls public addresses, and those in `allowed`.
    pub(super) fn new(allowed: Vec<Network>, clock: Clock) -> Notification {
        Notification(Http::new(allowed, clock))
    }
}

impl Handler<Payload> for Notification {
    type Output = Answered;

    async fn run(&self, payload: Payload, context: Context) -> Result<Answered, HandlerError> {
        let Payload { url, headers, signing_secret, notification, .. } = payload;
        let Some(url) = url else {
            let why = "payload.url is missing; set it by `polychron tenant notify`";
            return Err(HandlerError::new(why).final_());
        };
        let mut body = notification.unwrap_or_else(|| json!({"event": "test"}));
        body["tenant"] = context.tenant_slug.clone().into();
        let request = Request::post(url, headers, body, signing_secret);
        self.0.run(request, context).await
    }
}
