//! *Jobs* of a tenant.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::{Answer, LINES};
use crate::AppState;
use crate::access::Visitor;
use crate::html::{html, in_url};
use crate::page::{Page, badge, maybe_when, of_job, of_tenant, older, table, text};
use operations::job as jobs;
use operations::job::{page, schedule_of};

#[derive(Deserialize)]
pub(super) struct JobsQuery {
    /// Only those whose name comes later, for the next page.
    #[serde(default)]
    after: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<JobsQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let jobs = page(&at, &query.after, LINES).await?;
    let list = table(
        "Jobs, by name",
        &jobs,
        &[
            ("Job", &|job| html!("<a href=\"{}\">{}</a>", of_job(&slug, &job.name, ""), job.name)),
            ("State", &|job| badge(jobs::state(job))),
            ("Next run", &|job| {
                maybe_when(job.next_run_at.filter(|_| job.is_enabled), at.now.time())
            }),
            ("Schedule", &|job| match schedule_of(&at, job) {
                Ok(schedule) => html!(
                    "<span title=\"{}\">{}</span>",
                    jobs::timing(&job.schedule),
                    schedule.describe()
                ),
                Err(_) => html!("<code>{}</code>", jobs::timing(&job.schedule)),
            }),
            ("Type", &|job| text(&job.job_type)),
            ("Queue", &|job| text(&job.queue)),
            ("Quarantined because", &|job| match &job.quarantined_reason {
                Some(reason) => html!("<span class=\"bad\">{}</span>", reason),
                None => html!(""),
            }),
        ],
    );
    let next = jobs.last().filter(|_| jobs.len() as i64 == LINES);
    let next = next.map(|job| of_tenant(&slug, &format!("/jobs?after={}", in_url(&job.name))));
    let shown = match jobs.is_empty() {
        true => html!(
            "<p>There are none. <code>polychron job add {}</code> adds one, or an insert into the tenant's table <code>job</code>.</p>",
            slug
        ),
        false => list,
    };
    let body = html!("{}{}", shown, older(next, "More jobs"));
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
    ];
    let live = Some(format!("/events?tenant={slug}"));
    Ok(Page { visitor: &visitor, title: "Jobs", trail, live, body }.into_response())
}
