//! *Execution*: from due to finished, with its error, result and output.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::Value;
use shared::clock::Time;
use shared::execution::{Execution, Status};
use shared::id::ExecutionId;

use super::Answer;
use super::executions::{first_line, took};
use crate::AppState;
use crate::access::Visitor;
use crate::form::careful_form;
use crate::html::{Html, html};
use crate::page::{Page, badge, exact, facts, json, of_job, of_tenant, short, table, text, when};
use operations::execution::find;
use operations::execution::{job_name, progress};
use operations::failure::Failure;
use operations::format::maybe;

/// How many attempts are shown.
const ATTEMPTS: i64 = 100;

pub(super) fn id(text: &str) -> Result<ExecutionId, Failure> {
    text.parse().map_err(|_| Failure::NotFound(format!("`{text}` is not the id of an execution")))
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, text)): Path<(String, String)>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let execution = find(&at, id(&text)?).await?;
    let attempts = at.store.list_attempts(execution.id, ATTEMPTS).await;
    let attempts = attempts.map_err(|error| at.failed(error))?;
    let body = html!(
        "{}{}{}<h2>Timeline</h2>{}{}{}",
        summary(&slug, &execution, at.now.time()),
        actions(&slug, &execution, &visitor),
        error(&execution),
        time_line(&execution, at.now.time()),
        attempts_list(&slug, &execution, &attempts, at.now.time()),
        contents(&execution)
    );
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
        ("Executions".to_owned(), of_tenant(&slug, "/executions")),
    ];
    let title = format!("{}, attempt {}", job_name(&execution), execution.attempt);
    let live = (!execution.status.is_final()).then(|| format!("/events?tenant={slug}"));
    Ok(Page { visitor: &visitor, title: &title, trail, live, body }.into_response())
}

fn summary(slug: &str, execution: &Execution, now: Time) -> Html {
    let job = match &execution.job_name {
        Some(name) => html!("<a href=\"{}\">{}</a>", of_job(slug, name, ""), name),
        None => text(job_name(execution)),
    };
    let stands_for = match execution.stands_for {
        1 => String::new(),
        occurrences => format!("{occurrences} occurrences"),
    };
    let cancel_requested = if execution.cancel_requested { "yes" } else { "" };
    facts(&[
        ("Status", badge(execution.status.as_str())),
        ("Job", job),
        ("Scheduled for", when(execution.scheduled_for, now)),
        ("Trigger", text(execution.trigger.as_str())),
        ("Took", text(took(execution))),
        ("Progress", text(maybe(execution.progress.as_ref().map(progress)))),
        ("Stands for", text(stands_for)),
        ("Cancel requested", text(cancel_requested)),
        ("Worker", text(maybe(execution.worker.as_ref()))),
        ("Job version", text(maybe(execution.job_version))),
        ("Id", html!("<code>{}</code>", execution.id.to_string())),
    ])
}

fn actions(slug: &str, execution: &Execution, visitor: &Visitor) -> Html {
    if !visitor.may_change() {
        return Html::default();
    }
    let address = |below: &str| of_tenant(slug, &format!("/executions/{}{below}", execution.id));
    let action = match (execution.status.is_final(), execution.status) {
        (true, _) if execution.job_name.is_none() => return Html::default(),
        (true, _) => {
            let meaning = "The job runs again, with the same payload.";
            careful_form(&address("/retry"), visitor, "Run again", meaning)
        }
        (false, Status::Running) => {
            let meaning =
                "Its worker learns of it by the next heartbeat, within 15 s. It is not retried.";
            careful_form(&address("/cancel"), visitor, "Cancel", meaning)
        }
        (false, _) => {
            let meaning = "It has not started, and will not start.";
            careful_form(&address("/cancel"), visitor, "Cancel", meaning)
        }
    };
    html!("<div class=\"actions\">{}</div>", action)
}

fn error(execution: &Execution) -> Html {
    let Some(message) = &execution.error_message else { return Html::default() };
    let kind = maybe(execution.error_kind);
    let detail = execution.error_detail.as_ref().map(|detail| html!("<pre>{}</pre>", detail));
    html!(
        "<section><h2>Error: {}</h2><pre class=\"error\">{}</pre>{}</section>",
        kind,
        message,
        detail
    )
}

/// The steps from due to finished, each with its duration.
fn time_line(execution: &Execution, now: Time) -> Html {
    let running = execution.status == Status::Running;
    let mut moments: Vec<(&str, Time)> = [
        ("due", Some(execution.scheduled_for)),
        ("available", execution.available_at),
        ("dispatched", execution.dispatched_at),
        ("published", execution.published_at),
        ("started", execution.started_at),
        ("finished", execution.finished_at),
        ("lease until", execution.lease_until.filter(|_| running)),
        ("deadline", execution.deadline_at.filter(|_| running)),
    ]
    .into_iter()
    .filter_map(|(name, time)| Some((name, time?)))
    .collect();
    moments.sort_by_key(|(_, time)| *time);
    let mut before: Option<Time> = None;
    let items = moments.iter().map(|(name, time)| {
        let since =
            before.map(|before| html!("<span class=\"since\">+{}</span>", short(*time - before)));
        before = Some(*time);
        let class = if *time > now { "ahead" } else { "past" };
        html!("<li class=\"{}\"><strong>{}</strong> {} {}</li>", class, name, exact(*time), since)
    });
    html!("<ol class=\"timeline\">{}</ol>", items.collect::<Html>())
}

fn attempts_list(slug: &str, execution: &Execution, attempts: &[Execution], now: Time) -> Html {
    if attempts.len() < 2 {
        return Html::default();
    }
    let list = table(
        "All attempts at this occurrence",
        attempts,
        &[
            ("Attempt", &|attempt| match attempt.id == execution.id {
                true => html!("{} (this one)", attempt.attempt),
                false => {
                    let address = of_tenant(slug, &format!("/executions/{}", attempt.id));
                    html!("<a href=\"{}\">{}</a>", address, attempt.attempt)
                }
            }),
            ("Status", &|attempt| badge(attempt.status.as_str())),
            ("Trigger", &|attempt| text(attempt.trigger.as_str())),
            ("Started", &|attempt| {
                attempt.started_at.map_or_else(|| html!("–"), |at| when(at, now))
            }),
            ("Took", &|attempt| text(took(attempt))),
            ("Error", &|attempt| text(attempt.error_message.as_deref().map_or("", first_line))),
        ],
    );
    html!("<h2>Attempts</h2>{}", list)
}

/// Its payload, error, result and output.
fn contents(execution: &Execution) -> Html {
    let section = |name: &str, value: &Option<Value>| {
        value.as_ref().map(|value| html!("<h2>{}</h2><pre>{}</pre>", name, json(value)))
    };
    let output =
        execution.output.as_ref().map(|output| html!("<h2>Output</h2><pre>{}</pre>", output));
    html!(
        "{}{}{}",
        section("Payload", &execution.payload),
        section("Result", &execution.result),
        output
    )
}
