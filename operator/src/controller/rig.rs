//! What tests of controllers have: a scripted API server, and a state tier in memory.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::{Arc, Mutex};

use crd::{Device, DeviceSpec};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Router;
use tower_test::mock::Handle;

mod listed;

pub(crate) use listed::ListedDevices;

use super::{Settings, Shared};
use crate::announcer::Announcer;
use crate::brake::Brake;
use crate::config::Config;
use crate::kubernetes::Kind;
use crate::metrics::Metrics;
use crate::state_tier::{Credentials, StateTier};

/// The namespace of every object and of every call.
pub(crate) const NAMESPACE: &str = "acme";

/// Answers what the controller asks of Kubernetes, one request after the other.
pub(crate) struct ApiServer(Handle<Request<Body>, Response<Body>>);

/// What a state tier in memory was asked for.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    /// So far, in order.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn add(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }

    /// Adds a call with the namespace that it is for and what it is about, and returns the namespace.
    pub(crate) fn add_of<T>(&self, call: &str, request: &tonic::Request<T>, about: &str) -> String {
        let namespace = request.metadata().get("drover-namespace").unwrap();
        let namespace = namespace.to_str().unwrap().to_owned();
        self.add(format!("{call} {namespace}/{about}"));
        namespace
    }
}

/// Serves a state tier on a port of its own; it ends with the test's runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "a server that lives as long as the test's runtime"
)]
pub(crate) async fn state_tier(services: Router) -> StateTier {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody listens on the first address: the second one is to be used.
    let addresses = [
        "127.0.0.1:1".to_owned(),
        listener.local_addr().unwrap().to_string(),
    ];
    tokio::spawn(services.serve_with_incoming(TcpListenerStream::new(listener)));
    StateTier::new(&addresses, &Credentials::none()).unwrap()
}

/// What the controller of a kind has between the two.
pub(crate) fn shared<K: Kind>(state_tier: StateTier) -> (Shared<K>, ApiServer) {
    let (client, api_server) = api_server();
    let metrics = Metrics::register(&mut Registry::default());
    let settings = Settings::from(&Config::default());
    // Nobody listens to what is told.
    let (announcer, _) = Announcer::new(metrics.clone());
    let (brake, mut namespaces) = Brake::new();
    namespaces.hold(&[]);
    let mut shared = Shared::new(client, state_tier, metrics, settings, announcer, brake);
    shared.namespace = Some(NAMESPACE.to_owned());
    (shared, api_server)
}

/// An object of the namespace, as the API server has it.
pub(crate) fn device() -> Device {
    let mut device = Device::new(
        "meter-1",
        DeviceSpec {
            endpoint_name: "meter-1".to_owned(),
            ..DeviceSpec::default()
        },
    );
    device.metadata.namespace = Some(NAMESPACE.to_owned());
    device.metadata.uid = Some("uid-1".to_owned());
    device.metadata.resource_version = Some("1".to_owned());
    device
}

/// A client, and whom it asks.
pub(crate) fn api_server() -> (Client, ApiServer) {
    let (service, api_server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    (Client::new(service, "default"), ApiServer(api_server))
}

/// The object of an example, as the API server keeps it.
pub(crate) fn stored<K: DeserializeOwned>(document: &str, uid: &str) -> K {
    let mut object: Value = serde_yaml_ng::from_str(document).unwrap();
    object["metadata"]["namespace"] = NAMESPACE.into();
    object["metadata"]["uid"] = uid.into();
    object["metadata"]["generation"] = 1.into();
    object["metadata"]["resourceVersion"] = "1".into();
    serde_json::from_value(object).unwrap()
}

impl ApiServer {
    /// Answers one status patch with the patched object, and returns that with where and what the patch was.
    pub(crate) async fn answer_patch<K>(&mut self, object: &K) -> (K, String, Value)
    where
        K: Kind + Serialize,
    {
        let (request, send) = self.0.next_request().await.unwrap();
        assert_eq!(request.method(), Method::PATCH);
        let uri = request.uri().to_string();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let patch: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            patch["metadata"]["uid"].as_str(),
            object.meta().uid.as_deref()
        );
        assert!(patch.get("spec").is_none());
        let mut patched = serde_json::to_value(object).unwrap();
        patched["status"] = patch["status"].clone();
        let version: u64 = object
            .meta()
            .resource_version
            .as_deref()
            .unwrap()
            .parse()
            .unwrap();
        patched["metadata"]["resourceVersion"] = (version + 1).to_string().into();
        let answer = serde_json::to_vec(&patched).unwrap();
        send.send_response(Response::new(Body::from(answer)));
        (serde_json::from_value(patched).unwrap(), uri, patch)
    }

    /// Answers one request with what was sent, or with an error that has this code, reason and cause, and returns how and
    /// where it was asked for, and what was sent.
    pub(crate) async fn echo(
        &mut self,
        error: Option<(u16, &str, &str)>,
    ) -> (Method, String, Value) {
        let (request, send) = self.0.next_request().await.unwrap();
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let answer = if let Some((code, reason, cause)) = error {
            let error = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "no", "reason": reason, "code": code,
                "details": {"causes": [{"reason": cause}]},
            });
            let mut answer = Response::new(Body::from(error.to_string().into_bytes()));
            *answer.status_mut() = StatusCode::from_u16(code).unwrap();
            answer
        } else {
            Response::new(Body::from(body.to_vec()))
        };
        send.send_response(answer);
        (
            method,
            uri,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    /// Answers one request with an object, or says that there is none, and returns what was asked for.
    pub(crate) async fn answer(&mut self, object: Option<&impl Serialize>) -> (Method, String) {
        let (request, send) = self.0.next_request().await.unwrap();
        let asked = (request.method().clone(), request.uri().to_string());
        let (code, body) = if let Some(object) = object {
            (StatusCode::OK, serde_json::to_vec(object).unwrap())
        } else {
            let status = kube::core::Status::failure("not found", "NotFound").with_code(404);
            (StatusCode::NOT_FOUND, serde_json::to_vec(&status).unwrap())
        };
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = code;
        send.send_response(answer);
        asked
    }
}

/// Status and reason of a condition, with a / between them.
pub(crate) fn condition<K: Serialize>(object: &K, kind: &str) -> String {
    let object = serde_json::to_value(object).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned();
    let mut conditions = conditions.unwrap_or_default().into_iter();
    let found = conditions.find(|one| one["type"] == kind);
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    found.map_or_else(String::new, |one| {
        format!("{}/{}", text(&one, "status"), text(&one, "reason"))
    })
}
