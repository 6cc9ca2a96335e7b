//! The process's HTTP side: health for whatever restarts processes and routes work, metrics for
//! Prometheus. `GET /health/live`, `GET /health/ready`, `GET /metrics`.
//!
//! It runs beside our own loops, never with the handlers, so that it answers however busy they are.

mod serving;

use std::net::{SocketAddr, TcpListener};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
pub use serving::{Limits, serve_until};
use tokio_util::sync::CancellationToken;
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
        serve_until(listener, routes, Limits::default(), CancellationToken::new()).await;
        std::io::Result::Ok(())
    };
    if let Err(error) = serving.await {
        error!("HTTP is not served: {error}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::pulse::SILENT_AFTER;

    #[tokio::test]
    async fn a_loop_that_stands_still_makes_it_red_by_name() {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let vitals = Vitals::new(Clock::Manual(manual.clone()));
        let beat = vitals.follow("heartbeats");
        let answer = live(State(vitals.clone())).await.into_response();
        assert_eq!(answer.status(), StatusCode::OK);
        manual.advance(SILENT_AFTER);
        let answer = live(State(vitals.clone())).await.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        let shown = r#"{"silent":[{"loop":"heartbeats","seconds":60}],"status":"not live"}"#;
        assert_eq!(String::from_utf8_lossy(&body), shown);
        beat.beat();
        let answer = live(State(vitals)).await.into_response();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn before_it_has_started_it_is_not_ready() {
        let answer = ready(State(Vitals::new(Clock::System))).await.into_response();
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
