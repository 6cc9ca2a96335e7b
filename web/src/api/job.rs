//! A tenant's jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Time;
use shared::execution::Execution;
use shared::id::JobId;
use shared::job::{Job, MisfirePolicy, OrphanPolicy, OverlapPolicy};
use shared::schedule::{Patch, Spread};
use shared::store::{JobEdit, NewJob};

use super::budget::{Budget, Fits};
use super::extract::{Body, Page, Path, Query, Reason, given, limit, present, times};
use super::fleet::Preview;
use super::tenant::PageQuery;
use crate::AppState;
use crate::access::Visitor;
use crate::problem::{Problem, made};
use operations::failure::Failure;
use operations::finding::Finding;
use operations::job::{Switch, find, next_time, schedule_of};
use operations::occurrence_report::report;
use operations::schedule::{checked, due};

type JobPath = Path<(String, String)>;

pub(super) async fn list(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Query(PageQuery { after, limit: requested }): Query<PageQuery>,
) -> Result<Json<Page<Job>>, Problem> {
    let limit = limit(requested)?;
    let at = state.enter(&visitor, &slug).await?;
    let (mut budget, mut after) = (Budget::new(), after);
    let is_over = loop {
        let batch = budget.next_batch(limit);
        let jobs = operations::job::page(&at, &after, batch).await?;
        let is_full = jobs.len() as i64 == batch;
        let fits = budget.add(jobs);
        if fits == Fits::Partly || !is_full || budget.next_batch(limit) == 0 {
            break fits == Fits::All && !is_full;
        }
        after = budget.items.last().map(|job| job.name.clone()).unwrap_or_default();
    };
    let next = budget.items.last().filter(|_| !is_over).map(|job| job.name.clone());
    Ok(Json(Page { items: budget.items, next }))
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
) -> Result<Response, Problem> {
    let at = state.enter(&visitor, &slug).await?;
    Ok(tagged(&find(&at, &name).await?))
}

/// A job with its version as its ETag.
fn tagged(job: &Job) -> Response {
    (etag(job), Json(job)).into_response()
}

fn etag(job: &Job) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{}\"", job.version))]
}

/// The fields of a job. A missing one stays as it is, or gets its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    job_type: Option<String>,
    #[serde(default, deserialize_with = "given")]
    schedule: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    payload: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    is_enabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    queue: Option<String>,
    #[serde(default, deserialize_with = "present")]
    timeout_seconds: Option<Option<i32>>,
    #[serde(default, deserialize_with = "given")]
    max_attempts: Option<i32>,
    #[serde(default, deserialize_with = "given")]
    retry_base_seconds: Option<i32>,
    #[serde(default, deserialize_with = "given")]
    misfire_policy: Option<MisfirePolicy>,
    #[serde(default, deserialize_with = "given")]
    misfire_grace_seconds: Option<i32>,
    #[serde(default, deserialize_with = "given")]
    overlap_policy: Option<OverlapPolicy>,
    #[serde(default, deserialize_with = "given")]
    orphan_policy: Option<OrphanPolicy>,
    #[serde(default, deserialize_with = "present")]
    notify: Option<Option<Value>>,
    #[serde(default, deserialize_with = "given")]
    reason: Option<String>,
}

impl Definition {
    /// What the body says, with the schedule as it is.
    fn edit(self) -> Result<JobEdit, Problem> {
        if let Some(Some(target)) = &self.notify {
            let wrong = |why| Problem::new(StatusCode::BAD_REQUEST, why);
            shared::notification::check(target).map_err(wrong)?;
        }
        Ok(JobEdit {
            job_type: self.job_type,
            payload: self.payload,
            schedule: self.schedule,
            is_enabled: self.is_enabled,
            queue: self.queue,
            timeout_seconds: self.timeout_seconds,
            max_attempts: self.max_attempts,
            retry_base_seconds: self.retry_base_seconds,
            misfire_policy: self.misfire_policy,
            misfire_grace_seconds: self.misfire_grace_seconds,
            overlap_policy: self.overlap_policy,
            orphan_policy: self.orphan_policy,
            notify: self.notify,
        })
    }
}

pub(super) async fn add(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path(slug): Path<String>,
    Body(definition): Body<Definition>,
) -> Result<Response, Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, definition.reason.as_deref()).await?;
    let name = definition.name.clone();
    // The job has no id yet, which its schedule does not need to be read.
    let edit = definition.edit()?;
    let spread = Spread::new(at.tenant.id, JobId(0));
    let schedule = edit.schedule.clone().map(|schedule| checked(schedule, spread)).transpose()?;
    let (Some(name), Some(job_type), Some(schedule)) = (name, &edit.job_type, schedule) else {
        let text = "a job needs a name, a job_type and a schedule";
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    };
    let new = NewJob::new(&name, job_type, schedule).with(edit);
    let job = made(operations::job::add(&state.context, &actor, &at, &new).await?)?;
    Ok((StatusCode::CREATED, tagged(&job)).into_response())
}

pub(super) async fn edit(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    headers: HeaderMap,
    Body(definition): Body<Definition>,
) -> Result<Response, Problem> {
    let if_version = if_version(&headers)?;
    let (at, actor) = state.enter_to_change(&visitor, &slug, definition.reason.as_deref()).await?;
    if definition.name.is_some() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "a job keeps its name"));
    }
    let mut edit = definition.edit()?;
    if edit == JobEdit::default() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "nothing to change"));
    }
    let patch = edit.schedule.take().map(|schedule| Patch::read(&schedule.to_string()));
    let patch = patch.transpose().map_err(|error| Failure::Usage(error.annotated()))?;
    let (context, patch) = (&state.context, patch.as_ref());
    let edited =
        operations::job::patch(context, &actor, &at, &name, if_version, &edit, patch).await?;
    let edited = made(edited)?;
    Ok((etag(&edited.job), Json(edited)).into_response())
}

/// The version that the edit is for; none for any.
fn if_version(headers: &HeaderMap) -> Result<Option<i32>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "send the job's ETag as `If-Match`, so that nobody's change is lost; `*` is any version",
        ));
    };
    let tag = tag.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match version.and_then(|version| version.parse().ok()) {
        Some(version) => Ok(Some(version)),
        None => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "If-Match names no version of a job, such as `\"3\"`",
        )),
    }
}

pub(super) async fn delete(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Value>, Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, reason.as_deref()).await?;
    let job = find(&at, &name).await?;
    made(operations::job::delete(&state.context, &actor, &at, &job).await?)?;
    Ok(Json(json!({"deleted": name})))
}

pub(super) async fn pause(
    state: State<Arc<AppState>>,
    visitor: Extension<Visitor>,
    path: JobPath,
    reason: Body<Reason>,
) -> Result<Response, Problem> {
    switch(state, visitor, path, reason, Switch::Pause).await
}

pub(super) async fn resume(
    state: State<Arc<AppState>>,
    visitor: Extension<Visitor>,
    path: JobPath,
    reason: Body<Reason>,
) -> Result<Response, Problem> {
    switch(state, visitor, path, reason, Switch::Resume).await
}

async fn switch(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    Body(Reason { reason }): Body<Reason>,
    to: Switch,
) -> Result<Response, Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, reason.as_deref()).await?;
    match operations::job::switch(&state.context, &actor, &at, &name, to).await? {
        Some(change) => Ok(tagged(&made(change)?)),
        None => Ok(tagged(&find(&at, &name).await?)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// Replaces the job's own.
    #[serde(default, deserialize_with = "given")]
    payload: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    reason: Option<String>,
}

pub(super) async fn run(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    Body(Run { payload, reason }): Body<Run>,
) -> Result<(StatusCode, Json<Execution>), Problem> {
    let (at, actor) = state.enter_to_change(&visitor, &slug, reason.as_deref()).await?;
    let execution = made(
        operations::execution::run(&state.context, &actor, &at, &name, payload.as_ref()).await?,
    )?;
    Ok((StatusCode::CREATED, Json(execution)))
}

#[derive(Deserialize)]
pub(super) struct NextQuery {
    n: Option<i64>,
}

pub(super) async fn next(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    Query(NextQuery { n }): Query<NextQuery>,
) -> Result<Json<Preview>, Problem> {
    let n = times(n)?;
    let at = state.enter(&visitor, &slug).await?;
    let job = find(&at, &name).await?;
    let schedule = schedule_of(&at, &job)?;
    let first = next_time(&at, &job, &schedule);
    Ok(Json(Preview { words: schedule.describe(), times: due(&schedule, first, n) }))
}

#[derive(Deserialize)]
pub(super) struct ExplainQuery {
    /// One of its planned times.
    at: Option<Time>,
}

pub(super) async fn explain(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Path((slug, name)): JobPath,
    Query(ExplainQuery { at: planned }): Query<ExplainQuery>,
) -> Result<Json<Vec<Finding>>, Problem> {
    let at = state.enter(&visitor, &slug).await?;
    let context = &state.context;
    Ok(Json(match planned {
        Some(planned) => report(context, &at, &name, planned).await?,
        None => operations::explain::explain(context, &at, &name).await?,
    }))
}
