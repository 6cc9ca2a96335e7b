//! *Why did it not run?*: a job's latest planned times and what became of each, the full report on
//! one of them, and what decides whether the job runs now.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use chrono::TimeDelta;
use serde::Deserialize;
use shared::clock::Time;
use shared::execution::{Execution, Trigger};
use shared::job::Job;
use shared::schedule::Schedule;

use super::Answer;
use super::now::finding;
use crate::AppState;
use crate::access::Visitor;
use crate::html::{Exact, Html, html, in_url};
use crate::page::{Page, badge, of_job, of_tenant, table, text, when};
use operations::context::TenantContext;
use operations::explain::explain;
use operations::finding::Finding;
use operations::format::maybe;
use operations::input;
use operations::job::{find, schedule_of};
use operations::occurrence_report::{report, rows_from, stands_for};
use operations::schedule::{Due, due};

/// How many planned times are shown.
const BACK: u16 = 20;
/// The resolution of stored times.
const TIME_RESOLUTION: TimeDelta = TimeDelta::microseconds(1);

#[derive(Deserialize)]
pub(super) struct WhyQuery {
    name: String,
    /// A planned time; blank for none.
    #[serde(default)]
    at: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let job = find(&at, &query.name).await?;
    let report_of_one = match query.at.trim() {
        "" => Html::default(),
        wanted => match input::time(wanted) {
            Ok(time) => {
                let found = report(&state.context, &at, &job.name, time).await?;
                let title = format!("What became of {}", time.format("%Y-%m-%d %H:%M:%S UTC"));
                html!("<h2>{}</h2>{}", title, list(&found))
            }
            Err(error) => html!("<pre class=\"error\" role=\"alert\">{}</pre>", error),
        },
    };
    let now = explain(&state.context, &at, &job.name).await?;
    let body = html!(
        "{}{}{}<h2>What decides whether it runs now</h2>{}",
        question(&slug, &job, &query.at),
        report_of_one,
        latest(&at, &job).await?,
        list(&now)
    );
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
        ("Jobs".to_owned(), of_tenant(&slug, "/jobs")),
        (job.name.clone(), of_job(&slug, &job.name, "")),
    ];
    let title = format!("Why did {} not run?", job.name);
    Ok(Page { visitor: &visitor, title: &title, trail, live: None, body }.into_response())
}

fn list(findings: &[Finding]) -> Html {
    html!("<ul class=\"findings\">{}</ul>", findings.iter().map(finding).collect::<Html>())
}

fn question(slug: &str, job: &Job, at: &str) -> Html {
    html!(
        "<form method=\"get\" action=\"{}\" class=\"filter\"><input type=\"hidden\" name=\"name\" value=\"{}\">\
         <label>Planned time <input name=\"at\" value=\"{}\" placeholder=\"2026-12-01T02:00:00Z\" autocomplete=\"off\" size=\"28\"></label>\
         <button>What became of it?</button></form>",
        of_job(slug, &job.name, "/why"),
        Exact(&job.name),
        at
    )
}

/// The latest planned times up to now, the newest first.
async fn latest(at: &TenantContext, job: &Job) -> Result<Html, operations::failure::Failure> {
    let Ok(schedule) = schedule_of(at, job) else { return Ok(Html::default()) };
    let times =
        std::iter::successors(schedule.prev_before((at.now + TIME_RESOLUTION).time()), |time| {
            schedule.prev_before(*time)
        });
    let times: Vec<Time> = times.take(BACK.into()).collect();
    let Some(earliest) = times.last() else {
        return Ok(html!("<h2>Latest planned times</h2><p>There were none yet.</p>"));
    };
    let rows = rows_from(at, job, *earliest).await?;
    let mut planned = due(&schedule, Some(*earliest), BACK);
    planned.retain(|due| due.at <= at.now && due.at >= job.created_at);
    planned.reverse();
    let caption = format!("By the present schedule, in its time zone, {}", schedule.timezone());
    let slug = &at.tenant.slug;
    let list = table(
        &caption,
        &planned,
        &[
            ("When", &|due| {
                let query = format!("&at={}", in_url(&due.at.to_rfc3339()));
                html!(
                    "<a href=\"{}{}\">{}</a>",
                    of_job(slug, &job.name, "/why"),
                    query,
                    when(due.at, at.now.time())
                )
            }),
            ("Local time", &|due| text(due.local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string())),
            ("What became of it", &|due| became(job, &rows, &schedule, due)),
            ("Because", &|due| text(because(&rows, due))),
            ("Clock change", &|due| text(maybe(due.clocks.as_ref()))),
        ],
    );
    Ok(html!("<h2>Latest planned times</h2>{}", list))
}

/// The last attempt at an occurrence.
fn last_attempt<'a>(rows: &'a [Execution], due: &Due) -> Option<&'a Execution> {
    rows.iter().rfind(|row| row.scheduled_for == due.at)
}

fn became(job: &Job, rows: &[Execution], schedule: &Schedule, due: &Due) -> Html {
    let later = || {
        let planned =
            |row: &&Execution| row.trigger == Trigger::Schedule && row.scheduled_for > due.at;
        rows.iter().find(planned).filter(|row| stands_for(row, schedule, due.at))
    };
    match last_attempt(rows, due) {
        Some(row) => badge(row.status.as_str()),
        None if later().is_some() => html!("a later one stood for it"),
        None if job.schedule_since.is_some_and(|since| since > due.at) => {
            html!("the schedule did not count yet")
        }
        None => html!("<span class=\"bad\">nothing</span>"),
    }
}

fn because(rows: &[Execution], due: &Due) -> String {
    let message = last_attempt(rows, due).and_then(|row| row.error_message.as_deref());
    message.and_then(|text| text.lines().next()).unwrap_or_default().chars().take(160).collect()
}
