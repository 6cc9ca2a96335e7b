//! The process's HTTP server: `GET /health/live` and `GET /health/ready` for supervisors and load balancers,
//! `GET /metrics` for Prometheus.
//!
//! It does not run on the handlers' runtime, so it answers however busy they are.

mod connection_limit;
mod serving;
mod write_timeout;

use std::net::{SocketAddr, TcpListener};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
pub use connection_limit::{Connection, network};
use serde_json::json;
pub use serving::{Limits, serve_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::{self, Problems};
use crate::metrics::CONTENT_TYPE;
use crate::readiness::ReadinessState;
use crate::telemetry::Telemetry;

/// Binds an address.
///
/// # Errors
/// If that fails, as a problem of the configuration.
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

/// Binds the address that the settings name, if any. If that fails, prints the reason and exits with status
/// 2. For a daemon's main, before anything has started.
pub fn bind_or_exit(program: &str, address: Option<SocketAddr>) -> Option<TcpListener> {
    match bind(address?) {
        Ok(listener) => Some(listener),
        Err(problems) => config::exit(program, &problems),
    }
}

/// Serves until the future is dropped. Must be called within a tokio runtime.
pub async fn serve(listener: TcpListener, routes: Router) {
    let serving = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        info!(address = %listener.local_addr()?, "serving HTTP");
        serve_until(listener, routes, Limits::default(), CancellationToken::new()).await;
        std::io::Result::Ok(())
    };
    if let Err(error) = serving.await {
        error!("HTTP is not served: {error}");
    }
}

/// The routes of health and metrics.
pub fn health_routes(telemetry: Telemetry) -> Router {
    let ready = Router::new().route("/health/ready", get(ready)).with_state(telemetry.clone());
    liveness_routes(telemetry).merge(ready)
}

/// The routes of liveness and metrics, for a process that probes no services.
pub fn liveness_routes(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/metrics", get(metrics))
        .with_state(telemetry)
}

/// 503 if one of the process's loops is stalled, so that a supervisor restarts the process.
async fn live(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let stalled = telemetry.liveness.stalled();
    let panicked = telemetry.metrics.requests_panicked.get();
    let (code, mut body) = match stalled.is_empty() {
        true => (StatusCode::OK, json!({"status": "live"})),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "not live", "stalled": stalled}))
        }
    };
    // A panic is a bug to report. It is not a reason to fail, because a restart would not fix it.
    if panicked > 0 {
        body["requests_panicked"] = panicked.into();
    }
    (code, Json(body))
}

/// 503 if the process can do no work or is stopping, so that it gets no requests.
async fn ready(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let report = telemetry.readiness.report();
    let code = match report.status {
        ReadinessState::Ready | ReadinessState::Degraded => StatusCode::OK,
        ReadinessState::NotReady | ReadinessState::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(report))
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], telemetry.metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::liveness::STALLED_AFTER;

    #[tokio::test]
    async fn liveness_fails_with_the_name_of_a_stalled_loop() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let telemetry = Telemetry::new(Clock::Manual(manual.clone()));
        let watchdog = telemetry.watch("heartbeats");
        let answer = live(State(telemetry.clone())).await.into_response();
        assert_eq!(answer.status(), StatusCode::OK);
        manual.advance(STALLED_AFTER);
        let answer = live(State(telemetry.clone())).await.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        let shown = r#"{"stalled":[{"loop":"heartbeats","seconds":60}],"status":"not live"}"#;
        assert_eq!(String::from_utf8_lossy(&body), shown);
        watchdog.ping();
        let answer = live(State(telemetry)).await.into_response();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn before_it_has_started_it_is_not_ready() {
        let answer = ready(State(Telemetry::new(Clock::System))).await.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn an_address_that_is_taken_is_refused_by_name() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let Problems(problems) = bind(address).unwrap_err();
        assert!(problems[0].contains("POLYCHRON_HTTP"), "{problems:?}");
        assert!(problems[0].contains(&address.to_string()), "{problems:?}");
    }
}
