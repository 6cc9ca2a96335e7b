//! *Audit*: who changed what, and why.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Time;
use shared::store::{Audit, AuditFilter};

use super::{Answer, LINES};
use crate::AppState;
use crate::access::Visitor;
use crate::html::{Exact, Html, html, in_url};
use crate::page::{Page, badge, of_tenant, older, table, text, when};
use operations::failure::Failure;
use operations::format::maybe;

#[derive(Deserialize)]
pub(super) struct AuditQuery {
    /// Only changes at this tenant.
    #[serde(default)]
    tenant: String,
    /// Only changes older than this, for the next page.
    before: Option<i64>,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<AuditQuery>,
) -> Answer {
    let tenant = Some(query.tenant.trim().to_owned()).filter(|slug| !slug.is_empty());
    match &tenant {
        Some(slug) => state.check_may_see(&visitor, slug)?,
        None => visitor.must_see_all()?,
    }
    let filter = AuditFilter { before: query.before, tenant, target: None };
    let changes = state.context.control.list_audit(&filter, LINES).await;
    let changes = changes.map_err(Failure::control)?;
    let next = changes.last().filter(|_| changes.len() as i64 == LINES);
    let next =
        next.map(|last| format!("/audit?tenant={}&before={}", in_url(&query.tenant), last.id));
    let found = match changes.is_empty() {
        true => html!("<p>Nothing was changed yet.</p>"),
        false => list(&changes, state.now().await?.time()),
    };
    let body = html!(
        "<form method=\"get\" class=\"filter\"><label>Tenant <input name=\"tenant\" value=\"{}\"></label>\
         <button>Filter</button></form>{}{}",
        Exact(&query.tenant),
        found,
        older(next, "Older changes")
    );
    Ok(Page { visitor: &visitor, title: "Audit", trail: Vec::new(), live: None, body }
        .into_response())
}

/// Changes as a list.
pub(super) fn list(changes: &[Audit], now: Time) -> Html {
    table(
        "Changes, the newest first",
        changes,
        &[
            ("When", &|change| when(change.at, now)),
            ("Who", &|change| html!("<span class=\"whole\">{}</span>", change.actor)),
            ("What", &|change| html!("<span class=\"whole\">{}</span>", change.action)),
            ("Tenant", &|change| match &change.tenant {
                Some(slug) => html!("<a href=\"{}\">{}</a>", of_tenant(slug, ""), slug),
                None => html!(""),
            }),
            ("Of", &|change| text(maybe(change.target.as_ref()))),
            ("Change", &difference),
            ("Reason", &|change| text(maybe(change.reason.as_ref()))),
        ],
    )
}

/// The fields that differ, before and after.
fn difference(change: &Audit) -> Html {
    let Some(Value::Object(after)) = &change.after else { return badge("not made") };
    let empty = serde_json::Map::new();
    let before = change.before.as_ref().and_then(Value::as_object).unwrap_or(&empty);
    let differing = after.iter().filter(|(field, value)| before.get(*field) != Some(*value));
    let line = |(field, value): (&String, &Value)| match before.get(field) {
        Some(old) => {
            html!("<li>{}: <del>{}</del> → <ins>{}</ins></li>", field, plain(old), plain(value))
        }
        None => html!("<li>{}: <ins>{}</ins></li>", field, plain(value)),
    };
    html!("<ul class=\"changes\">{}</ul>", differing.map(line).collect::<Html>())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
