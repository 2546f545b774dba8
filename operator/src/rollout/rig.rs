//! A controller between a scripted API server and a state tier in memory.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower_test::mock::Handle;

use super::fake::{self, FakeStateTier};
use super::*;
use crate::config::Config;
use crate::controller::Settings;
use crate::metrics::Metrics;

pub(super) type ApiServer = Handle<Request<Body>, Response<Body>>;

/// The example that users are shown.
const EXAMPLE: &str = include_str!("../../../examples/rollout.yaml");

pub(super) struct Rig {
    pub(super) context: Arc<Context>,
    pub(super) api_server: ApiServer,
    pub(super) fake: FakeStateTier,
    images: Writer<FirmwareImage>,
    rollouts: Writer<FirmwareRollout>,
}

pub(super) fn rollout() -> FirmwareRollout {
    let mut rollout: FirmwareRollout = document(1);
    rollout.metadata.namespace = Some("acme".to_owned());
    rollout.metadata.uid = Some("uid-1".to_owned());
    rollout.metadata.generation = Some(1);
    rollout.metadata.resource_version = Some("1".to_owned());
    rollout
}

pub(super) fn image() -> FirmwareImage {
    let mut image: FirmwareImage = document(0);
    image.metadata.namespace = Some("acme".to_owned());
    image
}

fn document<K: serde::de::DeserializeOwned>(place: usize) -> K {
    let mut documents = serde_yaml_ng::Deserializer::from_str(EXAMPLE);
    let document = documents.nth(place).unwrap();
    serde::Deserialize::deserialize(document).unwrap()
}

impl Rig {
    pub(super) async fn new() -> Self {
        let (service, api_server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let (state_tier, fake) = fake::start().await;
        let metrics = Metrics::register(&mut Registry::default());
        let settings = Settings::from(&Config::default());
        let shared = Shared::new(client, state_tier, metrics, settings, FIELD_MANAGER);
        let (images, image_writer) = reflector::store();
        let (rollouts, rollout_writer) = reflector::store();
        let namespace = Some("acme".to_owned());
        let context = Context::new(shared, (images, rollouts), Arc::default(), namespace);
        Self {
            context: Arc::new(context),
            api_server,
            fake,
            images: image_writer,
            rollouts: rollout_writer,
        }
    }

    /// What the watch of images has listed.
    pub(super) fn list_images(&mut self, images: Vec<FirmwareImage>) {
        self.images.apply_watcher_event(&Event::Init);
        for image in images {
            self.images.apply_watcher_event(&Event::InitApply(image));
        }
        self.images.apply_watcher_event(&Event::InitDone);
    }

    /// What the watch of rollouts has listed.
    pub(super) fn list_rollouts(&mut self, rollouts: Vec<FirmwareRollout>) {
        let events = rollouts.into_iter().map(Event::InitApply);
        for event in [Event::Init]
            .into_iter()
            .chain(events)
            .chain([Event::InitDone])
        {
            self.rollouts.apply_watcher_event(&event);
            self.context.take_in(&event);
        }
    }

    /// Answers one status patch with the patched object, and returns both.
    pub(super) async fn answer_patch(
        &mut self,
        rollout: &FirmwareRollout,
    ) -> (FirmwareRollout, Value) {
        let (request, send) = self.api_server.next_request().await.unwrap();
        assert_eq!(request.method(), http::Method::PATCH);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let patch: Value = serde_json::from_slice(&body).unwrap();
        let mut patched = rollout.clone();
        patched.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
        let version: u64 = rollout.resource_version().unwrap().parse().unwrap();
        patched.metadata.resource_version = Some((version + 1).to_string());
        let answer = serde_json::to_vec(&patched).unwrap();
        send.send_response(Response::new(Body::from(answer)));
        (patched, patch)
    }
}
