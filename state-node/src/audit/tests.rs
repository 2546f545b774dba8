//! The layer and the audit log together, in front of a service that counts.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Ready;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use node_runtime::files::Reloading;
use prost::Message as _;
use proto::drover::v1::ExecuteRequest;
use serde_json::Value;
use tower_layer::Layer as _;
use tower_service::Service;

use super::*;
use crate::access::Access;
use crate::access::config::ApiAccess;
use crate::access::layer::{AccessLayer, Guard};
use crate::tenants::{TenantLimits, Tenants};

/// A service that says yes to everything.
#[derive(Clone, Debug, Default)]
struct Yes(Arc<AtomicUsize>);

impl Service<Request<Body>> for Yes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Status::ok("").into_http()))
    }
}

async fn guard(file: &Path, required: Required, tasks: &Tasks) -> (Guard<Yes>, Yes) {
    let mut registry = Registry::default();
    let config = AuditConfig {
        file: Some(file.to_owned()),
        required,
    };
    let audit = Audit::open(&config, &mut registry, tasks).unwrap();
    let reloading = Reloading::new(tasks, Duration::from_secs(60));
    let access = Access::open(&ApiAccess::default(), None, &reloading).await;
    let tenants = Tenants::new(&BTreeMap::new(), TenantLimits::default(), &mut registry);
    let tenants = Arc::new(tenants.unwrap());
    let layer = AccessLayer::new(access.unwrap(), audit, tenants, &mut registry);
    let service = Yes::default();
    (layer.layer(service.clone()), service)
}

fn execute() -> Request<Body> {
    let message = ExecuteRequest {
        endpoint: "meter-1".to_owned(),
        path: "/3/0/4".to_owned(),
        arguments: "SECRET".to_owned(),
        ..ExecuteRequest::default()
    };
    let message = message.encode_to_vec();
    let head = [[0].as_slice(), &(message.len() as u32).to_be_bytes()].concat();
    let body = http_body_util::Full::new([head, message].concat().into());
    let request = Request::builder().uri("http://x/drover.v1.Operations/Execute");
    request.body(Body::new(body)).unwrap()
}

fn code(answer: &Response<Body>) -> Code {
    Status::from_header_map(answer.headers()).unwrap().code()
}

async fn end(tasks: &Tasks) {
    let never = std::future::pending();
    tasks.shut_down(Duration::from_secs(10), never).await;
}

#[tokio::test]
async fn a_change_is_on_record_once_and_a_look_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let tasks = Tasks::new();
    let (mut guard, service) = guard(&file, Required::No, &tasks).await;
    let answer = guard.call(execute()).await.unwrap();
    assert_eq!(code(&answer), Code::Ok);
    let read = Request::builder().uri("http://x/drover.v1.Operations/Read");
    let read = read.body(Body::empty()).unwrap();
    assert_eq!(code(&guard.call(read).await.unwrap()), Code::Ok);
    assert_eq!(service.0.load(Ordering::Relaxed), 2);
    end(&tasks).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["who"], "system:anonymous", "{record}");
    assert_eq!(record["authentication"], "anonymous", "{record}");
    assert_eq!(record["endpoint"], "meter-1", "{record}");
    assert_eq!(record["paths"], serde_json::json!(["/3/0/4"]), "{record}");
    assert_eq!(record["verb"], "execute", "{record}");
    assert_eq!(record["outcome"], "OK", "{record}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_made_only_where_that_is_allowed() {
    let full = Path::new("/dev/full");
    let tasks = Tasks::new();
    let (mut guarded, service) = guard(full, Required::Yes, &tasks).await;
    let answer = guarded.call(execute()).await.unwrap();
    assert_eq!(code(&answer), Code::Unavailable);
    assert_eq!(service.0.load(Ordering::Relaxed), 0);
    let (mut guarded, service) = guard(full, Required::No, &tasks).await;
    let answer = guarded.call(execute()).await.unwrap();
    assert_eq!(code(&answer), Code::Ok);
    assert_eq!(service.0.load(Ordering::Relaxed), 1);
    end(&tasks).await;
}

#[tokio::test]
async fn where_records_are_required_the_attempt_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let tasks = Tasks::new();
    let (mut guard, _) = guard(&file, Required::Yes, &tasks).await;
    let answer = guard.call(execute()).await.unwrap();
    assert_eq!(code(&answer), Code::Ok);
    end(&tasks).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let outcomes = text.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["outcome"].as_str().unwrap().to_owned()
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), ["STARTED", "OK"]);
}
