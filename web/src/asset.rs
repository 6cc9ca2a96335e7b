//! The style sheet and the script, embedded in the program.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::AppState;

/// How long browsers cache them.
const FRESH_FOR: &str = "max-age=300";

pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/style.css", get(|| asset("text/css; charset=utf-8", include_str!("style.css"))))
        .route("/live.js", get(|| asset("text/javascript; charset=utf-8", include_str!("live.js"))))
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &'static str); 2] =
        [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, FRESH_FOR)];
    (headers, text)
}
