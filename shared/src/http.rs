//! The process's HTTP side: health for whatever restarts processes and routes work, metrics for
//! Prometheus. `GET /health/live`, `GET /health/ready`, `GET /metrics`.
//!
//! It runs beside our own loops, never with the handlers, so that it answers however busy they are.

use std::net::{SocketAddr, TcpListener};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tracing::{error, info};

use crate::config::{self, Problems};
use crate::metrics::CONTENT_TYPE;
use crate::readiness::Standing;
use crate::vitals::Vitals;

/// Takes hold of an address.
///
/// # Errors
/// What stands in the way, as a problem of the configuration.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Problems> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        let problem = format!(
            "POLYCHRON_HTTP is `{address}`, which cannot be listened on: {error}; name another address, or `off`"
        );
        Problems(vec![problem])
    })
}

/// For a daemon's main, before anything has started: takes hold of the address that the settings
/// name, if any, or says what stands in the way and ends the process with status 2.
pub fn bind_or_exit(program: &str, address: Option<SocketAddr>) -> Option<TcpListener> {
    match bind(address?) {
        Ok(listener) => Some(listener),
        Err(problems) => config::exit(program, &problems),
    }
}

/// Serves until it is dropped. To be called within a runtime.
pub async fn serve(listener: TcpListener, routes: Router) {
    let serving = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        info!(address = %listener.local_addr()?, "serving HTTP");
        axum::serve(listener, routes).await
    };
    if let Err(error) = serving.await {
        error!("HTTP is not served any more: {error}");
    }
}

/// Health and metrics.
pub fn vitals_routes(vitals: Vitals) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(vitals)
}

/// 503 when one of the process's loops stands still: restart it.
async fn live(State(vitals): State<Vitals>) -> impl IntoResponse {
    let silent = vitals.pulse.silent();
    if silent.is_empty() {
        (StatusCode::OK, Json(json!({"status": "live"})))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not live", "silent": silent})))
    }
}

/// 503 when the process is of no use now, or is about to stop: send it no work.
async fn ready(State(vitals): State<Vitals>) -> impl IntoResponse {
    let report = vitals.readiness.report();
    let code = match report.status {
        Standing::Ready | Standing::Degraded => StatusCode::OK,
        Standing::NotReady | Standing::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(report))
}

async fn metrics(State(vitals): State<Vitals>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], vitals.metrics.text())
}
