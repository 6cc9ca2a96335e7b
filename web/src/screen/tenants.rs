//! *Tenants*: all of them, from the fleet cache.

use std::ops::Bound;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::{Answer, LINES};
use crate::AppState;
use crate::access::Visitor;
use crate::fleet::TenantSnapshot;
use crate::html::{Exact, Html, html, in_url};
use crate::page::{Page, badge, of_tenant, older, short, table, text};

#[derive(Deserialize)]
pub(super) struct TenantsQuery {
    /// Only those whose slug or name contains this.
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
    let holds = |snapshot: &TenantSnapshot| {
        let tenant = &snapshot.tenant;
        tenant.slug.contains(&wanted) || tenant.name.to_lowercase().contains(&wanted)
    };
    let range = (Bound::Excluded(query.after.clone()), Bound::Unbounded);
    let found: Vec<TenantSnapshot> = state.fleet.read(|tenants| {
        let found = tenants.range(range).map(|(_, snapshot)| snapshot);
        let found =
            found.filter(|snapshot| visitor.may_see(&snapshot.tenant.slug) && holds(snapshot));
        found.take(LINES as usize).cloned().collect()
    });
    let list = table(
        "Tenants",
        &found,
        &[
            ("Tenant", &|snapshot| link(snapshot)),
            ("Status", &|snapshot| badge(snapshot.tenant.status.as_str())),
            ("Behind", &|snapshot| text(snapshot.stats.behind.map_or("–".to_owned(), short))),
            ("Due", &|snapshot| text(snapshot.stats.due)),
            ("Queued", &|snapshot| text(snapshot.stats.dispatched + snapshot.stats.waiting)),
            ("Running", &|snapshot| text(snapshot.stats.running)),
            ("Failed, 24 h", &|snapshot| text(i64::from(failed(snapshot)))),
            ("Database", &|snapshot| match &snapshot.problem {
                Some(problem) => html!("<span class=\"bad\">{}</span>", problem),
                None if state.fleet.age(snapshot).is_none() => html!("?"),
                None => html!("answers"),
            }),
            ("As of", &|snapshot| match state.fleet.age(snapshot) {
                Some(age) => text(format!("{} s ago", age.as_secs())),
                None => text("not visited yet"),
            }),
        ],
    );
    let search = html!(
        "<form method=\"get\" class=\"filter\"><label>Search <input type=\"search\" name=\"search\" value=\"{}\"></label>\
         <button>Search</button></form>",
        Exact(&query.search)
    );
    let next = found.last().filter(|_| found.len() as i64 == LINES).map(|snapshot| {
        format!("/tenants?search={}&after={}", in_url(&query.search), in_url(&snapshot.tenant.slug))
    });
    let shown = match found.is_empty() {
        true => html!("<p>No tenant matches. A new one appears within a few seconds.</p>"),
        false => list,
    };
    let body = html!("{}{}{}", search, shown, older(next, "More tenants"));
    let live = Some("/events".to_owned());
    let page = Page { visitor: &visitor, title: "Tenants", trail: Vec::new(), live, body };
    Ok(page.into_response())
}

fn link(snapshot: &TenantSnapshot) -> Html {
    let tenant = &snapshot.tenant;
    let address = of_tenant(&tenant.slug, "");
    let name = (tenant.name != tenant.slug).then(|| html!(" {}", tenant.name));
    html!("<a href=\"{}\">{}</a>{}", address, tenant.slug, name)
}

fn failed(snapshot: &TenantSnapshot) -> u32 {
    snapshot.stats.hours.values().map(|counts| counts.failed).sum()
}
