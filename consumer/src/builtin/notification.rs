//! The job type `notification`: tells somebody by HTTP what happened to a job.
//!
//! The engine writes the executions of this type (`shared/notification.rs` says when); they are
//! called like those of the type `http`, by the same rules. Run by hand, without news, it tells of
//! a test, so that a target can be tried.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::Network;
use shared::notification::Event;

use super::http::{Answered, Http, Request};
use crate::{Context, Handler, HandlerError};

/// Calls those who are to be told.
pub(super) struct Notification(Http);

/// Who is told, and what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    signing_secret: Option<String>,
    #[expect(dead_code, reason = "what is not asked for is not written; a test always is")]
    on: Option<Vec<Event>>,
    news: Option<Value>,
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
        let Payload { url, headers, signing_secret, news, .. } = payload;
        let Some(url) = url else {
            let why = "payload.url is missing: `polychron tenant notify` says who is told";
            return Err(HandlerError::new(why).final_());
        };
        let mut news = news.unwrap_or_else(|| json!({"event": "test"}));
        news["tenant"] = context.tenant_slug.clone().into();
        let request = Request::post(url, headers, news, signing_secret);
        self.0.run(request, context).await
    }
}
