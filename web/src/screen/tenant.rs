//! *Tenant*: its database as it is now.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::json;
use shared::tenant::{Tenant, TenantStatus};

use super::executions::list;
use super::{Answer, notify};
use crate::AppState;
use crate::access::Visitor;
use crate::form::careful_form;
use crate::html::{Html, html};
use crate::page::{Page, badge, facts, maybe_when, of_tenant, text};
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::format::maybe;
use operations::tenant::{InspectedTenant, inspect};

/// How many executions the page shows.
const EXECUTIONS: i64 = 10;

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
) -> Answer {
    state.check_may_see(&visitor, &slug)?;
    let tenant = state.context.tenant(&slug).await?;
    let inspected = inspect(&state.context, &tenant).await;
    // The rest is shown even if the database doesn't answer.
    let latest = match inspected.problem {
        Some(_) => Html::default(),
        None => {
            let at = state.context.enter(&slug).await?;
            let page = at.store.page_executions(&Default::default(), EXECUTIONS).await;
            let page = page.map_err(|error| at.failed(error))?;
            let notifications = notifications(&at, &visitor).await?;
            html!(
                "<h2>Latest executions</h2>{}{}",
                list(&slug, &page.executions, at.now.time()),
                notifications
            )
        }
    };
    let now = state.now().await?;
    let links = html!(
        "<p class=\"ways\"><a href=\"{}\">Jobs</a> <a href=\"{}\">Executions</a> <a href=\"{}\">Changes</a></p>",
        of_tenant(&slug, "/jobs"),
        of_tenant(&slug, "/executions"),
        format!("/audit?tenant={slug}")
    );
    let body = html!(
        "{}{}{}{}",
        links,
        of_database(&inspected, now.time()),
        actions(&tenant, &visitor),
        latest
    );
    let trail = vec![("Tenants".to_owned(), "/tenants".to_owned())];
    let live = Some(format!("/events?tenant={slug}"));
    let page = Page { visitor: &visitor, title: &tenant.name, trail, live, body };
    Ok(page.into_response())
}

/// Who is notified about jobs without a target of their own.
async fn notifications(at: &TenantContext, visitor: &Visitor) -> Result<Html, Failure> {
    let target = notify::notifier(at).await?.map_or_else(|| json!({}), |job| job.payload);
    let address = of_tenant(&at.tenant.slug, "/notify");
    let edit = visitor
        .may_change()
        .then(|| html!("<p><a class=\"button\" href=\"{}\">Edit notifications</a></p>", address));
    let facts = facts(&[("Notify", text(notify::words(Some(&target))))]);
    Ok(html!("<h2>Default notifications</h2>{}{}", facts, edit))
}

fn actions(tenant: &Tenant, visitor: &Visitor) -> Html {
    if !visitor.may_change() {
        return Html::default();
    }
    let address = |below: &str| of_tenant(&tenant.slug, below);
    let action = match tenant.status {
        TenantStatus::Active => {
            let meaning =
                "No new executions of this tenant start until it is resumed. Running ones may end.";
            let meaning = match visitor.sees_all() {
                true => meaning.to_owned(),
                false => format!("{meaning} Only an operator of all tenants can resume it."),
            };
            careful_form(&address("/suspend"), visitor, "Suspend", &meaning)
        }
        TenantStatus::Suspended if !visitor.sees_all() => {
            html!("<p>Only an operator of all tenants can resume it.</p>")
        }
        TenantStatus::Suspended => {
            let meaning =
                "Its jobs run again; each job's misfire policy decides about missed occurrences.";
            careful_form(&address("/resume"), visitor, "Resume", meaning)
        }
    };
    html!("<div class=\"actions\">{}</div>", action)
}

fn of_database(inspected: &InspectedTenant, now: shared::clock::Time) -> Html {
    let tenant = &inspected.tenant;
    let problem =
        inspected.problem.as_ref().map(|problem| html!("<pre class=\"error\">{}</pre>", problem));
    let facts = facts(&[
        ("Slug", text(&tenant.slug)),
        ("Status", badge(tenant.status.as_str())),
        ("Database", html!("<code>{}</code>", tenant.database_url)),
        (
            "Max. running",
            text(tenant.max_running.map_or("no limit".to_owned(), |most| most.to_string())),
        ),
        ("Running", text(maybe(inspected.running))),
        ("Waiting for a consumer", text(maybe(inspected.dispatched))),
        ("Waiting for their turn", text(maybe(inspected.waiting))),
        ("Next due", maybe_when(inspected.next_due_at, now)),
        ("Id", html!("<code>{}</code>", tenant.id.to_string())),
    ]);
    html!("{}{}", problem, facts)
}
