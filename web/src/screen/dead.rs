//! *Unreadable messages*: what no consumer could parse. It is read only when the page is opened, and
//! never refreshes itself: RabbitMQ counts how often a message was returned.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use operations::dead;

use super::Answer;
use crate::AppState;
use crate::access::Visitor;
use crate::form::{Filled, careful_form};
use crate::html::html;
use crate::page::{Page, table, text};
use crate::problem::made;
use operations::format::maybe;

/// How many messages the page shows.
const SHOWN: u32 = 20;

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    visitor.must_see_all()?;
    let messages = dead::list(&state.context, SHOWN).await?;
    let found = match messages.is_empty() {
        true => html!("<p>There are none.</p>"),
        false => table(
            "The oldest messages in polychron.dead",
            &messages,
            &[
                ("Why it cannot be read", &|message| text(maybe(message.reason.as_ref()))),
                ("Bytes", &|message| text(message.bytes)),
                ("Start of the body", &|message| html!("<code>{}</code>", message.body)),
            ],
        ),
    };
    let meaning = "All unreadable messages are removed for good. Executions are not affected.";
    let empty = (visitor.may_change() && !messages.is_empty())
        .then(|| careful_form("/dead/empty", &visitor, "Empty", meaning));
    let body = html!("{}<div class=\"actions\">{}</div>", found, empty);
    let trail = vec![("Consumers".to_owned(), "/consumers".to_owned())];
    let title = "Unreadable messages";
    Ok(Page { visitor: &visitor, title, trail, live: None, body }.into_response())
}

pub(super) async fn empty(State(state): State<Arc<AppState>>, form: Filled) -> Answer {
    let actor = state.actor(&form.visitor, form.get("reason"))?;
    made(dead::empty(&state.context, &actor).await?)?;
    Ok(Redirect::to("/dead").into_response())
}
