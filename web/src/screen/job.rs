//! *Job*: its schedule, past and next runs, and policies.

mod chart;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde_json::Value;
use shared::clock::Time;
use shared::job::Job;
use shared::notification::NOTIFIER;
use shared::store::AuditFilter;

use super::executions::list;
use super::{Answer, JobQuery, audit, notify};
use crate::AppState;
use crate::access::Visitor;
use crate::form::{careful_form, form};
use crate::html::{Html, html};
use crate::page::{Page, badge, facts, json, maybe_when, of_job, of_tenant, table, text, when};
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::format::maybe;
use operations::job::state;
use operations::job::{find, next_time, schedule_of};
use operations::schedule::{Due, due};

/// How many past runs the chart and the list show.
const RUNS: i64 = 60;
const LISTED: usize = 10;
/// How many changes are shown.
const CHANGES: i64 = 10;
/// How many runs ahead are shown.
const AHEAD: u16 = 10;

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let job = find(&at, &name).await?;
    let runs = at.store.list_runs(job.id, None, None, RUNS).await;
    let runs = runs.map_err(|error| at.failed(error))?;
    let open = at.store.count_open(job.id).await.map_err(|error| at.failed(error))?;
    let filter =
        AuditFilter { before: None, tenant: Some(slug.clone()), target: Some(name.clone()) };
    let changes = state.context.control.list_audit(&filter, CHANGES).await;
    let changes = changes.map_err(Failure::control)?;
    let changes = (!changes.is_empty())
        .then(|| html!("<h2>Changes</h2>{}", audit::list(&changes, at.now.time())));
    let latest = &runs[..runs.len().min(LISTED)];
    let more = of_tenant(&slug, &format!("/executions?job={}", crate::html::in_url(&name)));
    let body = html!(
        "{}{}<p class=\"ways\"><a href=\"{}\">Why did it not run?</a></p>{}{}<h2>Past runs</h2>{}{}<p><a href=\"{}\">All executions of this job</a></p>{}",
        quarantine(&job),
        of_schedule(&at, &job),
        of_job(&slug, &name, "/why"),
        actions(&slug, &job, open, &visitor),
        ahead(&at, &job),
        chart::durations(&runs),
        list(&slug, latest, at.now.time()),
        more,
        html!("{}{}{}", policies(&at, &job), notifications(&at, &job, &visitor).await?, changes)
    );
    let trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&slug, "")),
        ("Jobs".to_owned(), of_tenant(&slug, "/jobs")),
    ];
    let live = Some(format!("/events?tenant={slug}"));
    Ok(Page { visitor: &visitor, title: &name, trail, live, body }.into_response())
}

fn quarantine(job: &Job) -> Html {
    let reason = job.quarantined_reason.as_ref().map(|reason| {
        html!(
            "<section class=\"findings\"><h2>Quarantined</h2><pre class=\"error\">{}</pre>\
             <p>What to do: correct its schedule. Until then it does not run; other jobs do.</p></section>",
            reason
        )
    });
    reason.unwrap_or_default()
}

fn actions(slug: &str, job: &Job, open: i64, visitor: &Visitor) -> Html {
    if !visitor.may_change() {
        return Html::default();
    }
    let address = |below: &str| of_job(slug, &job.name, below);
    let run = form(&address("/run"), visitor, html!("<button>Run now</button>"));
    let switch = match job.is_enabled {
        true => {
            let meaning =
                "No new occurrences are dispatched until it is resumed. Open executions go on.";
            careful_form(&address("/pause"), visitor, "Pause", meaning)
        }
        false => {
            let meaning = "Occurrences are dispatched again, from now on.";
            careful_form(&address("/resume"), visitor, "Resume", meaning)
        }
    };
    let edit = address("/schedule");
    html!(
        "<div class=\"actions\">{}{}<a class=\"button\" href=\"{}\">Edit the schedule</a>{}</div>",
        run,
        switch,
        edit,
        deletion(&address("/delete"), job, open, visitor)
    )
}

/// Deleting cannot be undone, so it asks for the name.
fn deletion(address: &str, job: &Job, open: i64, visitor: &Visitor) -> Html {
    let inside = html!(
        "<p>Its open executions ({}) are cancelled; its history stays. This cannot be undone.</p>\
         <label>Write its name, <code>{}</code> \
         <input name=\"confirmed_name\" required autocomplete=\"off\" spellcheck=\"false\"></label>\
         <label>Reason, for the audit <input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
         <button class=\"danger\">Delete</button>",
        open,
        job.name
    );
    html!(
        "<details class=\"action\"><summary>Delete…</summary>{}</details>",
        form(address, visitor, inside)
    )
}

fn of_schedule(at: &TenantContext, job: &Job) -> Html {
    let words = match schedule_of(at, job) {
        Ok(schedule) => html!("<p class=\"words\">Runs {}.</p>", schedule.describe()),
        Err(_) => Html::default(),
    };
    let facts = facts(&[
        ("State", badge(state(job))),
        ("Next run", maybe_when(job.next_run_at.filter(|_| job.is_enabled), at.now.time())),
        ("Schedule", html!("<code>{}</code>", job.schedule.to_string())),
    ]);
    html!("{}{}", words, facts)
}

fn ahead(at: &TenantContext, job: &Job) -> Html {
    let Ok(schedule) = schedule_of(at, job) else { return Html::default() };
    let first = next_time(at, job, &schedule);
    let condition = match job.is_enabled {
        true => "",
        false => "It is paused. If it were resumed now, it would run at these times.",
    };
    let next = due(&schedule, first, AHEAD);
    html!("<h2>Next runs</h2><p>{}</p>{}", condition, due_times(&next, at.now.time()))
}

/// Times at which a schedule is due.
pub(super) fn due_times(times: &[Due], now: Time) -> Html {
    let Some(first) = times.first() else {
        return html!("<p>None: the schedule is used up.</p>");
    };
    let caption = format!("In the schedule's time zone, {}", first.timezone);
    table(
        &caption,
        times,
        &[
            ("When", &|due| when(due.at, now)),
            ("Local time", &|due| {
                let local = due.local.format("%a %Y-%m-%d %H:%M:%S %:z").to_string();
                let exact = due.at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
                html!("<span title=\"{}\">{}</span>", exact, local)
            }),
            ("Clock change", &|due| text(maybe(due.clocks.as_ref()))),
        ],
    )
}

/// Who is notified about the job, and since when it is failing or late.
async fn notifications(at: &TenantContext, job: &Job, visitor: &Visitor) -> Result<Html, Failure> {
    if job.name == NOTIFIER {
        return Ok(Html::default());
    }
    let of_tenant = match &job.notify {
        Some(_) => None,
        None => Some(notify::notifier(at).await?),
    };
    let of_tenant = of_tenant.map(|notifier| {
        let target = notifier.map_or_else(|| Value::Object(Default::default()), |job| job.payload);
        notify::words(Some(&target))
    });
    let facts = facts(&[
        ("Notify", text(notify::words(job.notify.as_ref()))),
        ("The tenant's default", text(of_tenant.unwrap_or_default())),
        (
            "Failing since",
            job.failing_since.map_or_else(Html::default, |since| when(since, at.now.time())),
        ),
        (
            "Late since",
            job.late_since.map_or_else(Html::default, |since| when(since, at.now.time())),
        ),
    ]);
    let address = of_job(&at.tenant.slug, &job.name, "/notify");
    let edit = visitor
        .may_change()
        .then(|| html!("<p><a class=\"button\" href=\"{}\">Edit notifications</a></p>", address));
    Ok(html!("<h2>Notifications</h2>{}{}", facts, edit))
}

fn policies(at: &TenantContext, job: &Job) -> Html {
    let timeout = job.timeout_seconds.map_or("the default".to_owned(), |s| format!("{s} s"));
    let facts = facts(&[
        ("Type", text(&job.job_type)),
        ("Queue", text(&job.queue)),
        ("Timeout", text(timeout)),
        ("Max. attempts", text(job.max_attempts)),
        ("Retry delay", text(format!("{} s", job.retry_base_seconds))),
        (
            "Misfire policy",
            text(format!("{}, after {} s", job.misfire_policy, job.misfire_grace_seconds)),
        ),
        ("Overlap policy", text(job.overlap_policy.as_str())),
        ("Orphan policy", text(job.orphan_policy.as_str())),
        ("Version", text(job.version)),
        ("Changed", when(job.updated_at, at.now.time())),
    ]);
    html!("<h2>Policies</h2>{}<h2>Payload</h2><pre>{}</pre>", facts, json(&job.payload))
}
