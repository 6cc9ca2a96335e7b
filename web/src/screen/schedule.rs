//! A job's schedule, edited in two steps: a preview, then saving it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value;
use shared::job::Job;
use shared::schedule::{Schedule, Spread};

use super::Answer;
use super::job::due_times;
use crate::AppState;
use crate::access::Visitor;
use crate::form::form;
use crate::html::{Html, html};
use crate::page::{Page, of_job, of_tenant};
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::find;
use operations::schedule::{due, read, written};

/// How many runs ahead are shown.
const AHEAD: u16 = 10;

#[derive(Deserialize)]
pub(super) struct ScheduleQuery {
    name: String,
    /// The schedule to preview; the job's own at first.
    schedule: Option<String>,
    #[serde(default)]
    timezone: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<ScheduleQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let job = find(&at, &query.name).await?;
    let tried = query.schedule.as_deref().map(|text| meaning(&at, &job, &visitor, text, &query));
    let text = query.schedule.clone().unwrap_or_else(|| format!("{:#}", job.schedule));
    let action = of_job(&slug, &job.name, "/schedule");
    let body = html!(
        "<form method=\"get\" action=\"{}\" class=\"form\"><input type=\"hidden\" name=\"name\" value=\"{}\">\
         <label>Schedule <textarea name=\"schedule\" rows=\"4\" spellcheck=\"false\" required>{}</textarea></label>\
         <label>Time zone, for a cron expression <input name=\"timezone\" value=\"{}\" placeholder=\"UTC\" autocomplete=\"off\"></label>\
         <button>Preview</button></form>\
         <p class=\"note\">A cron expression such as <code>0 2 * * 1-5</code>, or JSON such as \
         <code>{}</code>.</p>{}",
        action,
        job.name,
        text,
        query.timezone,
        r#"{"every": "15m"}"#,
        tried
    );
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
        ("Jobs".to_owned(), of_tenant(&slug, "/jobs")),
        (job.name.clone(), of_job(&slug, &job.name, "")),
    ];
    let title = format!("Schedule of {}", job.name);
    Ok(Page { visitor: &visitor, title: &title, trail, live: None, body }.into_response())
}

/// The preview of a schedule, with a form to save it if it can be read.
fn meaning(
    at: &TenantContext,
    job: &Job,
    visitor: &Visitor,
    text: &str,
    query: &ScheduleQuery,
) -> Html {
    let timezone = Some(query.timezone.trim()).filter(|zone| !zone.is_empty());
    let spread = Spread::new(at.tenant.id, job.id);
    let schedule = match understood(text, timezone, spread) {
        Ok((_, schedule)) => schedule,
        Err(failure) => {
            return html!("<pre class=\"error\" role=\"alert\">{}</pre>", failure.to_string());
        }
    };
    let times = due(&schedule, schedule.first_after(at.now.time()), AHEAD);
    let save = visitor.may_change().then(|| {
        let inside = html!(
            "<input type=\"hidden\" name=\"schedule\" value=\"{}\"><input type=\"hidden\" name=\"timezone\" value=\"{}\">\
             <input type=\"hidden\" name=\"version\" value=\"{}\">\
             <label>Reason, for the audit <input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
             <button>Save this schedule</button>",
            text, query.timezone, job.version
        );
        html!("<div class=\"form\">{}</div>", form(&of_job(&at.tenant.slug, &job.name, "/schedule"), visitor, inside))
    });
    html!(
        "<h2>Preview</h2><p class=\"words\">Runs {}.</p>{}{}",
        schedule.describe(),
        due_times(&times, at.now.time()),
        save
    )
}

/// A schedule as a job stores it, and as the engine reads it.
pub(super) fn understood(
    text: &str,
    timezone: Option<&str>,
    spread: Spread,
) -> Result<(Value, Schedule), Failure> {
    let text = written(text, timezone).map_err(|failure| match failure {
        // Failures name the command's flag; here it is a field.
        Failure::Usage(text) => Failure::Usage(text.replace("--timezone", "time zone")),
        other => other,
    })?;
    let schedule = read(&text, spread)?;
    let value = serde_json::from_str(&text);
    let value =
        value.map_err(|error| Failure::Usage(format!("the schedule is not JSON: {error}")))?;
    Ok((value, schedule))
}
