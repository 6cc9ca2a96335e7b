//! *Tenants*: all of them, as the survey knows them.

use std::ops::Bound;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::{Answer, LINES};
use crate::AppState;
use crate::access::Visitor;
use crate::html::{Html, html, in_url};
use crate::page::{Page, badge, of_tenant, older, short, table, text};
use crate::survey::Seen;

#[derive(Deserialize)]
pub(super) struct TenantsQuery {
    /// Only those whose slug or name holds this.
    #[serde(default)]
    search: String,
    /// Only those whose slug comes later, for the next page.
    #[serde(default)]
    after: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<TenantsQuery>,
) -> Answer {
    let wanted = query.search.trim().to_lowercase();
    let holds = |seen: &Seen| {
        let tenant = &seen.tenant;
        tenant.slug.contains(&wanted) || tenant.name.to_lowercase().contains(&wanted)
    };
    let range = (Bound::Excluded(query.after.clone()), Bound::Unbounded);
    let found: Vec<Seen> = state.survey.read(|seen| {
        let found = seen.range(range).map(|(_, seen)| seen);
        let found = found.filter(|seen| visitor.may_see(&seen.tenant.slug) && holds(seen));
        found.take(LINES as usize).cloned().collect()
    });
    let list = table(
        "Tenants",
        &found,
        &[
            ("Tenant", &|seen| link(seen)),
            ("Status", &|seen| badge(seen.tenant.status.as_str())),
            ("Behind", &|seen| text(seen.facts.behind.map_or("–".to_owned(), short))),
            ("Due", &|seen| text(seen.facts.due)),
            ("Queued", &|seen| text(seen.facts.dispatched + seen.facts.waiting)),
            ("Running", &|seen| text(seen.facts.running)),
            ("Failed, 24 h", &|seen| text(i64::from(failed(seen)))),
            ("Database", &|seen| match &seen.problem {
                Some(problem) => html!("<span class=\"bad\">{}</span>", problem),
                None if state.survey.age(seen).is_none() => html!("?"),
                None => html!("answers"),
            }),
            ("As of", &|seen| match state.survey.age(seen) {
                Some(age) => text(format!("{} s ago", age.as_secs())),
                None => text("not visited yet"),
            }),
        ],
    );
    let search = html!(
        "<form method=\"get\" class=\"filter\"><label>Search <input type=\"search\" name=\"search\" value=\"{}\"></label>\
         <button>Search</button></form>",
        query.search
    );
    let next = found.last().filter(|_| found.len() as i64 == LINES).map(|seen| {
        format!("/tenants?search={}&after={}", in_url(&query.search), in_url(&seen.tenant.slug))
    });
    let shown = match found.is_empty() {
        true => html!("<p>No tenant matches. A new one is seen within a few seconds.</p>"),
        false => list,
    };
    let body = html!("{}{}{}", search, shown, older(next, "More tenants"));
    let live = Some("/events".to_owned());
    let page = Page { visitor: &visitor, title: "Tenants", trail: Vec::new(), live, body };
    Ok(page.into_response())
}

fn link(seen: &Seen) -> Html {
    let tenant = &seen.tenant;
    let address = of_tenant(&tenant.slug, "");
    let name = (tenant.name != tenant.slug).then(|| html!(" {}", tenant.name));
    html!("<a href=\"{}\">{}</a>{}", address, tenant.slug, name)
}

fn failed(seen: &Seen) -> u32 {
    seen.facts.hours.values().map(|ended| ended.failed).sum()
}
