//! A controller between a scripted API server and a state tier in memory.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use kube::runtime::reflector;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

use super::fake::{self, FakeStateTier};
use super::*;
use crate::controller::rig::{self, ApiServer};
use crate::controller::take_in;

/// The example that users are shown.
const EXAMPLE: &str = include_str!("../../../examples/rollout.yaml");

pub(super) struct Rig {
    pub(super) context: Arc<Context>,
    pub(super) api_server: ApiServer,
    pub(super) fake: FakeStateTier,
    images: Writer<FirmwareImage>,
}

pub(super) fn rollout() -> FirmwareRollout {
    let mut rollout: FirmwareRollout = document(1);
    rollout.metadata.namespace = Some(rig::NAMESPACE.to_owned());
    rollout.metadata.uid = Some("uid-1".to_owned());
    rollout.metadata.generation = Some(1);
    rollout.metadata.resource_version = Some("1".to_owned());
    rollout
}

pub(super) fn image() -> FirmwareImage {
    let mut image: FirmwareImage = document(0);
    image.metadata.namespace = Some(rig::NAMESPACE.to_owned());
    image
}

fn document<K: serde::de::DeserializeOwned>(place: usize) -> K {
    let mut documents = serde_yaml_ng::Deserializer::from_str(EXAMPLE);
    let document = documents.nth(place).unwrap();
    serde::Deserialize::deserialize(document).unwrap()
}

impl Rig {
    pub(super) async fn new() -> Self {
        let (state_tier, fake) = fake::start().await;
        let (shared, api_server) = rig::shared(state_tier);
        let (images, image_writer) = reflector::store();
        Self {
            context: Arc::new(Context::new(shared, images, Arc::default())),
            api_server,
            fake,
            images: image_writer,
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
    pub(super) fn list_rollouts(&self, rollouts: Vec<FirmwareRollout>) {
        take_in(&*self.context, &Event::Init);
        for rollout in rollouts {
            take_in(&*self.context, &Event::InitApply(rollout));
        }
        take_in(&*self.context, &Event::InitDone);
    }
}
