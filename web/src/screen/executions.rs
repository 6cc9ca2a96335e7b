//! *Executions* of a tenant, with the filters in the address.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use shared::clock::Time;
use shared::execution::{Execution, Status};
use shared::store::ExecutionFilter;

use super::{Answer, LINES};
use crate::AppState;
use crate::access::Visitor;
use crate::html::{Exact, Html, html, in_url};
use crate::page::{Page, badge, maybe_when, of_job, of_tenant, older, short, table, text, when};
use operations::execution::job_name;
use operations::failure::Failure;

#[derive(Deserialize)]
pub(super) struct ExecutionsQuery {
    /// Only those of this job.
    #[serde(default)]
    job: String,
    /// Only those of this status.
    #[serde(default)]
    status: String,
    /// Only those older than this one, for the next page.
    #[serde(default)]
    before: String,
}

impl ExecutionsQuery {
    fn filter(&self) -> Result<ExecutionFilter, Failure> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let status = given(&self.status).map(|text| text.parse()).transpose();
        let status = status.map_err(|error| Failure::Usage(format!("status: {error}")))?;
        let before = given(&self.before).map(|text| text.parse()).transpose();
        let before = before.map_err(|error| Failure::Usage(format!("before: {error}")))?;
        Ok(ExecutionFilter { before, job: given(&self.job), status })
    }
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<ExecutionsQuery>,
) -> Answer {
    let filter = query.filter()?;
    let at = state.enter(&visitor, &slug).await?;
    let page = operations::execution::page(&at, &filter, LINES).await?;
    let next = page.next.map(|next| {
        let query = format!("job={}&status={}", in_url(&query.job), in_url(&query.status));
        of_tenant(&slug, &format!("/executions?{query}&before={next}"))
    });
    let found = match (page.executions.is_empty(), &next) {
        (true, None) => html!("<p>There are none.</p>"),
        (true, Some(_)) => {
            html!("<p>None in the part of the history that was searched.</p>")
        }
        (false, _) => list(&slug, &page.executions, at.now.time()),
    };
    let body = html!("{}{}{}", filters(&query), found, older(next, "Older executions"));
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
    ];
    let live = Some(format!("/events?tenant={slug}"));
    Ok(Page { visitor: &visitor, title: "Executions", trail, live, body }.into_response())
}

fn filters(query: &ExecutionsQuery) -> Html {
    let option = |word: &str| match word == query.status {
        true => html!("<option selected>{}</option>", word),
        false => html!("<option>{}</option>", word),
    };
    html!(
        "<form method=\"get\" class=\"filter\"><label>Job <input name=\"job\" value=\"{}\"></label>\
         <label>Status <select name=\"status\"><option value=\"\">any</option>{}</select></label>\
         <button>Filter</button></form>",
        Exact(&query.job),
        Status::ALL.iter().map(|status| option(status.as_str())).collect::<Html>()
    )
}

/// Executions as a list.
pub(super) fn list(slug: &str, executions: &[Execution], now: Time) -> Html {
    table(
        "Executions, the newest first",
        executions,
        &[
            ("Scheduled for", &|execution| {
                let address = of_tenant(slug, &format!("/executions/{}", execution.id));
                html!("<a href=\"{}\">{}</a>", address, when(execution.scheduled_for, now))
            }),
            ("Job", &|execution| match &execution.job_name {
                Some(name) => html!("<a href=\"{}\">{}</a>", of_job(slug, name, ""), name),
                None => text(job_name(execution)),
            }),
            ("Status", &|execution| badge(execution.status.as_str())),
            ("Attempt", &|execution| text(execution.attempt)),
            ("Trigger", &|execution| text(execution.trigger.as_str())),
            ("Started", &|execution| maybe_when(execution.started_at, now)),
            ("Took", &|execution| text(took(execution))),
            ("Error", &|execution| text(execution.error_message.as_deref().map_or("", first_line))),
        ],
    )
}

/// How long it ran.
pub(super) fn took(execution: &Execution) -> String {
    match (execution.started_at, execution.finished_at) {
        (Some(started), Some(finished)) => short(finished - started),
        _ => String::new(),
    }
}

/// The first line of an error; the execution's own page shows all of it.
pub(super) fn first_line(text: &str) -> &str {
    const BYTES: usize = 160;
    let line = text.lines().next().unwrap_or_default();
    let end = (0..=BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
    &line[..end.unwrap_or_default()]
}
