//! Errors of the API, as problem details (RFC 9457).

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use operations::change::Change;
use operations::failure::Failure;

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

/// The problem details. Without `type`, which means `about:blank`: the status says which kind of
/// problem it is.
#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into() }
    }

    /// The name of the status.
    pub(crate) fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Problem")
    }
}

/// What was made. No request asks for a dry run.
pub(crate) fn made<T>(change: Change<T>) -> Result<T, Problem> {
    change.made().ok_or_else(|| Failure::Failed("it was a dry run".to_owned()).into())
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let status = match &failure {
            Failure::Conflict(_) => StatusCode::CONFLICT,
            Failure::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Failure::Usage(_) => StatusCode::BAD_REQUEST,
            Failure::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::Forbidden(_) => StatusCode::FORBIDDEN,
            Failure::NotFound(_) => StatusCode::NOT_FOUND,
            Failure::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            // The tenant is a field, so that a flood of its failures leaves out no other tenant's.
            Failure::TenantFailed { tenant, text } => {
                error!(tenant, "a request failed: {text}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Failure::Failed(_) | Failure::Settings(_) | Failure::SomeTenants { .. } => {
                error!("a request failed: {failure}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Problem::new(status, failure.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document =
            Document { title: self.title(), status: self.status.as_u16(), detail: &self.detail };
        // Later parts of the tuple are applied first: this replaces the type that `Json` sets.
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, content_type, Json(document)).into_response()
    }
}
