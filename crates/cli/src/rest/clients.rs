//! `/api/clients`: devices and operations on them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lwm2m::{Entry, Path};
use proto::drover::v1::{Device, device};
use serde_json::Value as JsonValue;

use super::answer::Answer;
use super::body;
use super::observations::Observed;
use super::operate::Caller;
use super::query::Query;
use super::refusal::Refusal;
use super::registration::registration;
use super::shim::Shim;
use super::target::Target;
use crate::command::devices;
use crate::failure::Failure;

type Handled = Result<Response, Refusal>;
type At = UrlPath<(String, String)>;

/// `GET /api/clients`
pub(super) async fn list(State(shim): State<Arc<Shim>>) -> Handled {
    let devices = devices::all(&shim.api, "", "state = REGISTERED")
        .await
        .map_err(failed)?;
    let is_registered = |device: &&Device| device.state() == device::State::Registered;
    let registered = devices.iter().filter(is_registered).map(registration);
    Ok(Json(registered.collect::<Vec<_>>()).into_response())
}

fn failed(failure: Failure) -> Refusal {
    match failure {
        Failure::Call { status, .. } => (*status).into(),
        other => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, other.to_string()),
    }
}

/// `GET /api/clients/{endpoint}`
pub(super) async fn get(
    State(shim): State<Arc<Shim>>,
    UrlPath(endpoint): UrlPath<String>,
    RawQuery(query): RawQuery,
) -> Handled {
    let timeout = Query::new(query.as_deref()).timeout();
    let device = shim.registered(&endpoint, timeout).await?;
    Ok(Json(registration(&device)).into_response())
}

/// `GET …/{path}`, `…/{path}/discover`, `…/composite`
pub(super) async fn read(
    State(shim): State<Arc<Shim>>,
    UrlPath((endpoint, rest)): At,
    RawQuery(query): RawQuery,
) -> Handled {
    let (target, query) = parsed(&rest, query.as_deref())?;
    let caller = caller(&shim, &endpoint, &query).await?;
    let answer = match target {
        Target::Node(path) => {
            let accept = query.format("format").map_err(Refusal::invalid)?;
            caller.read(path, accept).await
        }
        Target::Discover(path) => caller.discover(path).await,
        Target::Composite => {
            let accept = query.format("nodeformat").map_err(Refusal::invalid)?;
            let paths = query.paths().map_err(Refusal::invalid)?;
            caller.read_composite(&paths, accept).await
        }
        other => return Err(no_such("GET", other)),
    };
    answer.map(IntoResponse::into_response)
}

/// `PUT …/{path}`, `…/{path}/attributes`, `…/composite`
pub(super) async fn write(
    State(shim): State<Arc<Shim>>,
    UrlPath((endpoint, rest)): At,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    content: Bytes,
) -> Handled {
    let (target, query) = parsed(&rest, query.as_deref())?;
    let caller = caller(&shim, &endpoint, &query).await?;
    let answer = match target {
        Target::Node(path) => {
            let format = query.format("format").map_err(Refusal::invalid)?;
            let values = written(path, &headers, &content)?;
            caller.write(path, query.replaces(), format, values).await
        }
        Target::Attributes(path) => caller.write_attributes(path, query.attributes()).await,
        Target::Composite => {
            let format = query.format("nodeformat").map_err(Refusal::invalid)?;
            let values = body::composite(&json(&content)?).map_err(Refusal::invalid)?;
            caller.write_composite(format, values).await
        }
        other => return Err(no_such("PUT", other)),
    };
    answer.map(IntoResponse::into_response)
}

/// `POST …/{object}`, `…/{resource}`, `…/{path}/observe`, `…/composite/observe`
pub(super) async fn act(
    State(shim): State<Arc<Shim>>,
    UrlPath((endpoint, rest)): At,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    content: Bytes,
) -> Handled {
    let (target, query) = parsed(&rest, query.as_deref())?;
    let caller = caller(&shim, &endpoint, &query).await?;
    let answer = match target {
        Target::Node(path @ Path::Object(_)) => {
            let format = query.format("format").map_err(Refusal::invalid)?;
            is_json(&headers)?;
            let node = json(&content)?;
            let (instance, values) = body::created(path, &node).map_err(Refusal::invalid)?;
            caller.create(path, instance, format, values).await
        }
        Target::Node(path @ Path::Resource(..)) => {
            let arguments = String::from_utf8(content.into());
            let arguments = arguments.map_err(|_| Refusal::invalid("arguments are text"))?;
            caller.execute(path, arguments).await
        }
        Target::Observe(path) => observe(&shim, &caller, Observed::Path(path)).await,
        Target::CompositeObserve => {
            let paths = query.paths().map_err(Refusal::invalid)?;
            observe(&shim, &caller, Observed::Composite(paths)).await
        }
        other => return Err(no_such("POST", other)),
    };
    answer.map(IntoResponse::into_response)
}

async fn observe(shim: &Shim, caller: &Caller<'_>, observed: Observed) -> Result<Answer, Refusal> {
    shim.observations
        .start(caller.api, caller.endpoint, observed, caller.timeout)
        .await
}

/// `DELETE …/{path}`, `…/{path}/observe`, `…/composite/observe`
pub(super) async fn delete(
    State(shim): State<Arc<Shim>>,
    UrlPath((endpoint, rest)): At,
    RawQuery(query): RawQuery,
) -> Handled {
    let (target, query) = parsed(&rest, query.as_deref())?;
    let caller = caller(&shim, &endpoint, &query).await?;
    let observed = match target {
        Target::Node(path) => return caller.delete(path).await.map(IntoResponse::into_response),
        Target::Observe(path) => Observed::Path(path),
        Target::CompositeObserve => Observed::Composite(query.paths().map_err(Refusal::invalid)?),
        other => return Err(no_such("DELETE", other)),
    };
    let ended = shim.observations.end(&endpoint, &observed);
    if query.get("active").is_none() {
        return Ok(StatusCode::OK.into_response());
    }
    if !ended {
        let text = format!("no observation of {observed} for client '{endpoint}'");
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    // The cluster cancels the observation by itself; what Leshan's cancelling GET brings along is read.
    let answer = match observed {
        Observed::Path(path) => caller.read(path, None).await,
        Observed::Composite(paths) => caller.read_composite(&paths, None).await,
    };
    answer.map(IntoResponse::into_response)
}

fn parsed(rest: &str, query: Option<&str>) -> Result<(Target, Query), Refusal> {
    let target = Target::parse(rest).map_err(Refusal::invalid)?;
    Ok((target, Query::new(query)))
}

/// Only devices that are registered are asked: what is for others would wait for them.
async fn caller<'a>(
    shim: &'a Shim,
    endpoint: &'a str,
    query: &Query,
) -> Result<Caller<'a>, Refusal> {
    let timeout = query.timeout();
    shim.registered(endpoint, timeout).await?;
    Ok(Caller {
        api: &shim.api,
        endpoint,
        timeout,
    })
}

fn written(path: Path, headers: &HeaderMap, content: &Bytes) -> Result<Vec<Entry>, Refusal> {
    let values = if media_type(headers) == "text/plain" {
        let text = str::from_utf8(content).map_err(Refusal::invalid)?;
        body::text(path, text)
    } else {
        is_json(headers)?;
        body::entries(path, &json(content)?)
    };
    values.map_err(Refusal::invalid)
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let value = value.and_then(|value| value.split(';').next());
    value.unwrap_or_default().trim()
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    match media_type(headers) {
        "application/json" => Ok(()),
        other => Err(Refusal::invalid(format!(
            "content type \"{other}\" is not supported: give application/json"
        ))),
    }
}

fn json(content: &Bytes) -> Result<JsonValue, Refusal> {
    serde_json::from_slice(content).map_err(|error| Refusal::invalid(format!("the body: {error}")))
}

fn no_such(method: &str, target: Target) -> Refusal {
    Refusal::invalid(format!("there is no {method} for {target:?}"))
}
