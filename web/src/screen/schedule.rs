//! A job's schedule, edited in two steps: a preview, then saving it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use shared::job::Job;
use shared::printable;
use shared::schedule::Patch;

use super::Answer;
use super::job::due_times;

use crate::AppState;
use crate::access::Visitor;
use crate::form::form;
use crate::html::{Exact, Html, html};
use crate::page::{Page, json, maybe_when, of_job, of_tenant};
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::job::find;
use operations::schedule::{Options, due, patch};
use operations::schedule_change::{self, Meaning};

/// How many runs ahead are shown.
const AHEAD: u16 = 10;

#[derive(Deserialize)]
pub(super) struct ScheduleQuery {
    name: String,
    /// The schedule to preview; the job's own if left out.
    schedule: Option<String>,
    #[serde(default)]
    timezone: String,
    /// Dates, with commas or spaces between them.
    #[serde(default)]
    except: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<ScheduleQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let job = find(&at, &query.name).await?;
    let preview = query.schedule.as_deref().map(|text| preview(&at, &job, &visitor, text, &query));
    let text = query.schedule.clone().unwrap_or_else(|| json(&job.schedule));
    let action = of_job(&slug, &job.name, "/schedule");
    let body = html!(
        "<form method=\"get\" action=\"{}\" class=\"form\"><input type=\"hidden\" name=\"name\" value=\"{}\">\
         <label>Schedule <textarea name=\"schedule\" rows=\"4\" spellcheck=\"false\" required>{}</textarea></label>\
         <label>Time zone, for a cron expression <input name=\"timezone\" value=\"{}\" placeholder=\"{}\" autocomplete=\"off\"></label>\
         <label>Not on these dates, for a cron expression <input name=\"except\" value=\"{}\" placeholder=\"12-25, 2026-12-28/2026-12-31\" autocomplete=\"off\"></label>\
         <button>Preview</button></form>\
         <p class=\"note\">A cron expression such as <code>0 2 * * 1-5</code>, or several of them, each on its own \
         line, which keep the other options; or the whole schedule as JSON such as <code>{}</code>.</p>{}",
        action,
        Exact(&job.name),
        printable::json(&text).as_ref(),
        Exact(&query.timezone),
        job.schedule["timezone"].as_str().unwrap_or("UTC"),
        Exact(&query.except),
        r#"{"every": "15m"}"#,
        preview
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
fn preview(
    at: &TenantContext,
    job: &Job,
    visitor: &Visitor,
    text: &str,
    query: &ScheduleQuery,
) -> Html {
    let read = read_patch(text, &query.timezone, &query.except, job)
        .and_then(|patch| schedule_change::apply(&patch, at, job));
    let (value, change) = match read {
        Ok(read) => read,
        Err(failure) => {
            return html!("<pre class=\"error\" role=\"alert\">{}</pre>", failure.to_string());
        }
    };
    let times = match operations::job::read_schedule(at, job, &value) {
        Ok(schedule) => due(&schedule, change.after.next, AHEAD),
        Err(_) => Vec::new(),
    };
    let save = visitor.may_change().then(|| {
        let inside = html!(
            "<input type=\"hidden\" name=\"schedule\" value=\"{}\"><input type=\"hidden\" name=\"timezone\" value=\"{}\">\
             <input type=\"hidden\" name=\"except\" value=\"{}\">\
             <input type=\"hidden\" name=\"version\" value=\"{}\">\
             <label>Reason, for the audit <input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
             <button>Save this schedule</button>",
            Exact(text), Exact(&query.timezone), Exact(&query.except), job.version
        );
        html!("<div class=\"form\">{}</div>", form(&of_job(&at.tenant.slug, &job.name, "/schedule"), visitor, inside))
    });
    let listed = |title: &'static str, options: &[String]| match options.is_empty() {
        true => Html::default(),
        false => html!("<p>{}: {}.</p>", title, options.join(", ")),
    };
    let present = change.before.as_ref().map(|Meaning { words, next }| {
        let next = maybe_when(*next, at.now.time());
        html!("<p>Until now it runs {}; next: {}.</p>", words, next)
    });
    html!(
        "<h2>Preview</h2><p class=\"words\">Runs {}.</p>{}{}{}{}{}",
        change.after.words,
        present,
        listed("Kept", &change.kept),
        listed("Dropped, since the new schedule cannot have it", &change.dropped),
        due_times(&times, at.now.time()),
        save
    )
}

/// The change that the form makes to the job's schedule. JSON is a whole schedule, which replaces the old
/// one; a cron expression keeps the other options.
pub(super) fn read_patch(
    text: &str,
    timezone: &str,
    except: &str,
    job: &Job,
) -> Result<Patch, Failure> {
    let except = except.split([',', ' ']).filter(|date| !date.is_empty());
    let except: Vec<String> = except.map(str::to_owned).collect();
    let timezone = Some(timezone.trim()).filter(|zone| !zone.is_empty());
    let patch = patch(text, &Options { timezone, except: &except, ..Options::default() }).map_err(
        |failure| {
            match failure {
                // Failures name the command's flag; here it is a field.
                Failure::Usage(text) => Failure::Usage(
                    text.replace("--timezone", "time zone")
                        .replace("--except", "not on these dates"),
                ),
                other => other,
            }
        },
    )?;
    let is_whole = text.trim_start().starts_with('{');
    Ok(if is_whole { patch.replacing(&job.schedule) } else { patch })
}
