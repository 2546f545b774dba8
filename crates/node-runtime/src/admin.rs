//! The admin endpoint: health, readiness, metrics and the log level, over plain HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 as long as the process can answer |
//! | `GET /readyz` | 200, or 503 and one line `name: reason` for each unmet condition |
//! | `GET /metrics` | the registry in the OpenMetrics text format |
//! | `GET /log-level` | the log filter in force |
//! | `PUT /log-level` | replaces the filter by the body; 400 and the reason if it cannot be parsed |
//!
//! There is no authentication: bind it to an address that only the cluster reaches.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::{fmt, io};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::telemetry::{LogLevel, SetLevelError};
use crate::{Readiness, Stage, Tasks};

/// No filter is longer; more is refused with 413.
const MAX_BODY_BYTES: usize = 4096;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoint tells about.
#[derive(Clone)]
pub struct Admin {
    /// Everything is registered before the endpoint is served; values that are only worth computing
    /// when somebody looks belong into a `Collector`.
    pub metrics: Arc<Registry>,
    /// What `/readyz` answers from.
    pub readiness: Readiness,
    /// What `/log-level` changes.
    pub log_level: LogLevel,
}

/// Why the endpoint could not be served.
#[derive(Debug, thiserror::Error)]
#[error("admin endpoint cannot listen on {address}")]
pub struct ServeError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

/// Binds `address`, serves the endpoint as a service of [`Stage::Admin`] and gives the address that
/// was bound, which matters for port 0.
pub async fn serve(
    address: SocketAddr,
    admin: Admin,
    tasks: &Tasks,
) -> Result<SocketAddr, ServeError> {
    let failed = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tasks.spawn_service("admin", Stage::Admin, move |drain| async move {
        let served = axum::serve(listener, router(admin))
            .with_graceful_shutdown(drain.started_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin endpoint failed");
        }
    });
    tracing::info!(address = %bound, "admin endpoint listens");
    Ok(bound)
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", get(log_level).put(set_log_level))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    let unmet = admin.readiness.unmet();
    if unmet.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = unmet.iter().fold(String::new(), |mut lines, unmet| {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}: {}", unmet.name, unmet.reason);
        lines
    });
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn log_level(State(admin): State<Admin>) -> String {
    format!("{}\n", admin.log_level.current())
}

async fn set_log_level(State(admin): State<Admin>, filter: String) -> (StatusCode, String) {
    let filter = filter.trim();
    match admin.log_level.set(filter) {
        Ok(()) => {
            tracing::info!(filter, "log level changed");
            (StatusCode::OK, format!("{}\n", admin.log_level.current()))
        }
        Err(error @ SetLevelError::Filter(_)) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
        Err(error @ SetLevelError::Gone(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

#[cfg(test)]
mod tests;
