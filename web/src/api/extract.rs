//! Extractors for query, path and body that reject with a problem.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AppState;
use crate::problem::Problem;

/// The most items of a page.
pub(super) const LIMIT_MAX: i64 = 500;
/// A NUL in JSON, unless a backslash precedes it.
const NUL: &[u8] = br"\u0000";
const LIMIT_DEFAULT: i64 = 50;

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<AppState>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AppState>) -> Result<Query<T>, Problem> {
        match extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(extract::Query(query)) => Ok(Query(query)),
            Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error.body_text())),
        }
    }
}

/// The parameters of the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<AppState>> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Path<T>, Problem> {
        match extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(extract::Path(path)) => Ok(Path(path)),
            Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error.body_text())),
        }
    }
}

/// The body, as JSON. An empty one is the same as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<AppState>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Body<T>, Problem> {
        let is_json = is_json(request.headers());
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        // Another site's page can send text without a CORS preflight, but not JSON.
        if !is_json && !body.is_empty() {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "send `Content-Type: application/json`"));
        }
        let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
        if holds_nul(text) {
            let detail = "the body holds a character NUL, which PostgreSQL cannot keep";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        // The error names the place and the field, and never quotes a payload.
        let read = serde_json::from_slice(text);
        read.map(Body).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body does not match: {error}"))
        })
    }
}

/// Whether a string holds a NUL, which JSON can only write as an escape.
fn holds_nul(json: &[u8]) -> bool {
    fn search(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(search),
            Value::Object(fields) => {
                fields.iter().any(|(name, value)| name.contains('\0') || search(value))
            }
            _ => false,
        }
    }
    let may = json.windows(NUL.len()).any(|bytes| bytes == NUL);
    may && serde_json::from_slice(json).is_ok_and(|value| search(&value))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

/// A page of a list, with the parameter for the next one.
#[derive(Serialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// How many items are wanted.
pub(super) fn limit(requested: Option<i64>) -> Result<i64, Problem> {
    let limit = requested.unwrap_or(LIMIT_DEFAULT);
    match (1..=LIMIT_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("limit: it must be 1 to {LIMIT_MAX}"),
        )),
    }
}

/// How many times are wanted.
pub(super) fn times(requested: Option<i64>) -> Result<u16, Problem> {
    let n = limit(requested.or(Some(10)))?;
    Ok(u16::try_from(n).unwrap_or(u16::MAX))
}

/// The reason for a change.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reason {
    #[serde(deserialize_with = "given")]
    pub(super) reason: Option<String>,
}

/// A field that may be missing but not null.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Distinguishes a field that is null from a missing one.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_at_any_depth_and_an_escaped_backslash_is_none() {
        for (json, expected) in [
            (r#"{"a": [{"b": "x\u0000"}]}"#, true),
            (r#"{"a\u0000": 1}"#, true),
            (r#"{"a": "x\\u0000"}"#, false),
            (r#"{"a": "x"}"#, false),
        ] {
            assert_eq!(holds_nul(json.as_bytes()), expected, "{json}");
        }
    }
}
