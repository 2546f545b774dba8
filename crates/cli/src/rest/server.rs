//! The two HTTP servers: their routes and bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::refusal::Refusal;
use super::shim::Shim;
use super::{bootstrap, clients, events, security};
use crate::api::Api;

/// 64 KiB, the largest payload of a raw request, in hexadecimal, with room for a node around it.
const MAX_BODY_BYTES: usize = 160 << 10;
/// Line and fields of a request. hyper itself reads no more than some hundred KiB of them.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listeners {
    pub(crate) management: SocketAddr,
    pub(crate) bootstrap: SocketAddr,
}

/// Both servers, bound and not yet served.
pub(crate) struct Listening {
    management: TcpListener,
    bootstrap: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(self) -> io::Result<Listening> {
        Ok(Listening {
            management: bind(self.management).await?,
            bootstrap: bind(self.bootstrap).await?,
        })
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    };
    TcpListener::bind(address).await.map_err(named)
}

impl Listening {
    /// The addresses that were bound, which matters for port 0: management and bootstrap.
    pub(crate) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.management.local_addr()?, self.bootstrap.local_addr()?))
    }

    /// Serves until one of the servers fails.
    pub(crate) async fn serve(self, api: Api) -> io::Result<()> {
        let shim = Shim::new(api);
        let management = axum::serve(self.management, management(shim.clone()));
        let bootstrap = axum::serve(self.bootstrap, bootstrap(shim));
        tokio::try_join!(management.into_future(), bootstrap.into_future())?;
        Ok(())
    }
}

fn management(shim: Arc<Shim>) -> Router {
    let operations = get(clients::read)
        .put(clients::write)
        .post(clients::act)
        .delete(clients::delete);
    let credentials = get(security::list).put(security::put);
    let routes = Router::new()
        .route("/api/clients", get(clients::list))
        .route("/api/clients/", get(clients::list))
        .route("/api/clients/{endpoint}", get(clients::get))
        .route("/api/clients/{endpoint}/{*rest}", operations)
        .route("/api/event", get(events::events));
    bounded(routes.merge(security_routes(credentials)), shim)
}

fn bootstrap(shim: Arc<Shim>) -> Router {
    let credentials = get(security::list).put(security::put_for_bootstrap);
    let config = post(bootstrap::put).delete(bootstrap::delete);
    let routes = Router::new()
        .route("/api/bootstrap", get(bootstrap::list))
        .route("/api/bootstrap/{endpoint}", config);
    bounded(routes.merge(security_routes(credentials)), shim)
}

fn security_routes(credentials: axum::routing::MethodRouter<Arc<Shim>>) -> Router<Arc<Shim>> {
    Router::new()
        .route("/api/security/clients", credentials.clone())
        .route("/api/security/clients/", credentials)
        .route(
            "/api/security/clients/{endpoint}",
            axum::routing::delete(security::delete),
        )
}

fn bounded(routes: Router<Arc<Shim>>, shim: Arc<Shim>) -> Router {
    routes
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(small_head))
        .with_state(shim)
}

async fn nothing(request: Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("{method} {path} is not served here; docs/rest-shim.md lists what is"),
    )
}

async fn small_head(request: Request, next: Next) -> Response {
    let fields = request.headers().iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    if fields + target > MAX_HEAD_BYTES {
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    }
    next.run(request).await
}
