//! Messages that no consumer could parse, in the queue `polychron.dead`.

use serde::Serialize;
use serde_json::json;
use shared::queue::{AmqpUrl, DeadMessage, empty_dead, list_dead};

use super::change::{Actor, Change};
use crate::context::Context;
use crate::failure::Failure;

/// The most messages that are shown.
pub const SHOWN_MAX: u32 = 100;

/// What emptying the queue did.
#[derive(Clone, Debug, Serialize)]
pub struct Emptied {
    /// How many messages were removed.
    pub removed: u32,
}

/// The oldest messages, at most [`SHOWN_MAX`]. They stay in the queue.
///
/// # Errors
/// When there is no broker, or it does not answer.
pub async fn list(context: &Context, limit: u32) -> Result<Vec<DeadMessage>, Failure> {
    list_dead(broker(context)?, limit.min(SHOWN_MAX)).await.map_err(Failure::Unreachable)
}

/// Removes all messages, for good.
///
/// # Errors
/// When the actor is limited to tenants (the messages belong to none), or the broker does not answer.
pub async fn empty(context: &Context, actor: &Actor) -> Result<Change<Emptied>, Failure> {
    if actor.is_limited() {
        let text = "your role is limited to some tenants, and this queue belongs to none";
        return Err(Failure::Forbidden(text.to_owned()));
    }
    let url = broker(context)?;
    let planned = actor.plan_for_all("dead.empty").towards(json!({"removed": "all messages"}));
    let empty = async {
        let removed = empty_dead(url).await.map_err(Failure::Unreachable)?;
        Ok((Emptied { removed }, json!({"removed": removed})))
    };
    context.record(planned, empty).await
}

fn broker(context: &Context) -> Result<&AmqpUrl, Failure> {
    let missing = "AMQP_URL is not set; without a broker there is no queue of unreadable messages";
    context.config.amqp_url.as_ref().ok_or_else(|| Failure::Conflict(missing.to_owned()))
}
