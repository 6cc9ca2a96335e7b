//! Whom to notify about a job or a tenant's jobs; edited in two steps, as schedules are.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;
use serde_json::Value;
use shared::job::Job;
use shared::notification::{Event, NOTIFIER};
use shared::printable;
use shared::store::JobEdit;

use super::{Answer, JobQuery};
use crate::AppState;
use crate::access::Visitor;
use crate::form::{Filled, form};
use crate::html::{Exact, Html, html};
use crate::page::{Page, json, of_job, of_tenant};
use crate::problem::made;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::input;
use operations::job::find;

#[derive(Deserialize)]
pub(super) struct NotifyQuery {
    /// The target to preview; the present one if left out.
    target: Option<String>,
}

/// The job or tenant whose target is edited.
enum Owner {
    Job(Box<Job>),
    /// The tenant's, with the job that holds it, if that exists already.
    Tenant(Option<Box<Job>>),
}

pub(super) async fn show_job(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    Query(query): Query<NotifyQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let job = Box::new(find(&at, &name).await?);
    Ok(page(&at, &visitor, &Owner::Job(job), query.target.as_deref()))
}

pub(super) async fn show_tenant(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(query): Query<NotifyQuery>,
) -> Answer {
    let at = state.enter(&visitor, &slug).await?;
    let notifier = notifier(&at).await?.map(Box::new);
    Ok(page(&at, &visitor, &Owner::Tenant(notifier), query.target.as_deref()))
}

/// The job that holds the tenant's target; it is created when first needed.
pub(super) async fn notifier(at: &TenantContext) -> Result<Option<Job>, Failure> {
    at.store.find_job(NOTIFIER).await.map_err(|error| at.failed(error))
}

fn page(
    at: &TenantContext,
    visitor: &Visitor,
    owner: &Owner,
    draft: Option<&str>,
) -> axum::response::Response {
    let text = draft.map_or_else(|| owner.as_text(), str::to_owned);
    let (title, place) = match owner {
        Owner::Job(job) => (format!("Notifications of {}", job.name), job.name.clone()),
        Owner::Tenant(_) => (format!("Default notifications of {}", at.tenant.name), String::new()),
    };
    let name = matches!(owner, Owner::Job(_))
        .then(|| html!("<input type=\"hidden\" name=\"name\" value=\"{}\">", Exact(&place)));
    let default = matches!(owner, Owner::Job(_))
        .then(|| html!(", <code>default</code> for the tenant's target"));
    let body = html!(
        "<form method=\"get\" action=\"{}\" class=\"form\">{}\
         <label>Target <textarea name=\"target\" rows=\"6\" spellcheck=\"false\" required>{}</textarea></label>\
         <button>Preview</button></form>\
         <p class=\"note\">A URL; or JSON such as <code>{}</code>, also with <code>headers</code> and \
         <code>signing_secret</code>; <code>off</code> for no one{}. Instead of a secret, \
         write its name.</p>{}",
        owner.address(at),
        name,
        printable::json(&text).as_ref(),
        r#"{"url": {"$secret": "OPS_HOOK"}, "on": ["failed", "recovered"]}"#,
        default,
        draft.map(|text| preview(at, visitor, owner, text))
    );
    let mut trail = vec![
        ("Tenants".to_owned(), "/tenants".to_owned()),
        (at.tenant.name.clone(), of_tenant(&at.tenant.slug, "")),
    ];
    if let Owner::Job(job) = owner {
        trail.push(("Jobs".to_owned(), of_tenant(&at.tenant.slug, "/jobs")));
        trail.push((job.name.clone(), of_job(&at.tenant.slug, &job.name, "")));
    }
    Page { visitor, title: &title, trail, live: None, body }.into_response()
}

impl Owner {
    fn address(&self, at: &TenantContext) -> String {
        match self {
            Owner::Job(job) => of_job(&at.tenant.slug, &job.name, "/notify"),
            Owner::Tenant(_) => of_tenant(&at.tenant.slug, "/notify"),
        }
    }

    /// The present target, as people write it.
    fn as_text(&self) -> String {
        let target = match self {
            Owner::Job(job) => job.notify.as_ref(),
            Owner::Tenant(notifier) => notifier.as_ref().map(|job| &job.payload),
        };
        match (target, self) {
            (None, Owner::Job(_)) => "default".to_owned(),
            (None, Owner::Tenant(_)) => "off".to_owned(),
            (Some(target), _) if target.get("url").is_none() => "off".to_owned(),
            (Some(target), _) => json(target),
        }
    }

    /// Reads a target as people write it; none means the tenant's.
    fn read_target(&self, text: &str) -> Result<Option<Value>, Failure> {
        match (text.trim(), self) {
            ("default", Owner::Job(_)) => Ok(None),
            (text, _) => input::target(text).map(Some).map_err(Failure::Usage),
        }
    }

    /// The version that a save must still find; none before the tenant's target is first written.
    fn version(&self) -> Option<i32> {
        match self {
            Owner::Job(job) => Some(job.version),
            Owner::Tenant(notifier) => notifier.as_ref().map(|job| job.version),
        }
    }
}

/// The preview of a target, with a form to save it if it can be read.
fn preview(at: &TenantContext, visitor: &Visitor, owner: &Owner, text: &str) -> Html {
    let target = match owner.read_target(text) {
        Ok(target) => target,
        Err(failure) => {
            return html!("<pre class=\"error\" role=\"alert\">{}</pre>", failure.to_string());
        }
    };
    let save = visitor.may_change().then(|| {
        let version = owner.version().map(|version| version.to_string()).unwrap_or_default();
        let inside = html!(
            "<input type=\"hidden\" name=\"target\" value=\"{}\"><input type=\"hidden\" name=\"version\" value=\"{}\">\
             <label>Reason, for the audit <input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
             <button>Save this target</button>",
            Exact(text),
            version
        );
        html!("<div class=\"form\">{}</div>", form(&owner.address(at), visitor, inside))
    });
    html!("<h2>Preview</h2><p class=\"words\">{}</p>{}", words(target.as_ref()), save)
}

/// A target in words; none means the tenant's.
pub(super) fn words(target: Option<&Value>) -> String {
    let Some(target) = target else { return "The tenant's default.".to_owned() };
    let of = |value: &Value| match value["$secret"].as_str() {
        Some(name) => format!("the address in the secret {name}"),
        None => value.as_str().unwrap_or_default().to_owned(),
    };
    let Some(url) = target.get("url") else { return "No one.".to_owned() };
    let all: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
    let on = target
        .get("on")
        .and_then(Value::as_array)
        .map(|on| on.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
    let signed = if target.get("signing_secret").is_some() { ", signed" } else { "" };
    let headers = target.get("headers").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let headers = match headers {
        0 => String::new(),
        1 => ", with a header of its own".to_owned(),
        n => format!(", with {n} headers of its own"),
    };
    format!("Notifies {} of {}{signed}{headers}.", of(url), on.unwrap_or_else(|| all.join(", ")))
}

pub(super) async fn edit_job(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    Query(JobQuery { name }): Query<JobQuery>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let owner = Owner::Job(Box::new(find(&at, &name).await?));
    let notify = Some(owner.read_target(form.get("target").unwrap_or_default())?);
    let version = form.version()?;
    let edit = JobEdit { notify, ..JobEdit::default() };
    made(operations::job::edit(&state.context, &actor, &at, &name, Some(version), &edit).await?)?;
    Ok(Redirect::to(&of_job(&slug, &name, "")).into_response())
}

pub(super) async fn edit_tenant(
    State(state): State<Arc<AppState>>,
    Path(slug): Path<String>,
    form: Filled,
) -> Answer {
    let (at, actor) = state.enter_to_change(&form.visitor, &slug, form.get("reason")).await?;
    let target = Owner::Tenant(None).read_target(form.get("target").unwrap_or_default())?;
    let version = form.get("version").and_then(|text| text.parse().ok());
    let target = target.unwrap_or_default();
    made(operations::tenant::notify(&state.context, &actor, &at, version, target).await?)?;
    Ok(Redirect::to(&of_tenant(&slug, "")).into_response())
}
