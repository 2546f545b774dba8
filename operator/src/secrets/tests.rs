#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::future::Future;

use crd::DesiredResource;
use crd::desired_value::ValueSource;
use crd::reference::{ObjectReference, SecretKeyReference};
use kube::runtime::watcher::Event as WatchEvent;
use node_runtime::{Readiness, Stage, Tasks};
use serde_json::{Value, json};

use super::*;
use crate::controller::rig::{self, ApiServer, NAMESPACE};
use crate::controller::{Known, Triggers};

fn metadata(name: &str, version: u32) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": version.to_string()},
    })
}

fn list(items: &[Value]) -> Value {
    json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"}, "items": items,
    })
}

fn source() -> ValueSource {
    ValueSource {
        secret_key_ref: SecretKeyReference {
            name: "k".to_owned(),
            key: "a".to_owned(),
        },
    }
}

fn profile() -> DeviceProfile {
    let spec = json!({"resources": [{"path": "/3/0/14", "valueFrom": source()}]});
    let mut profile = DeviceProfile::new("base", serde_json::from_value(spec).unwrap());
    profile.metadata.namespace = Some(NAMESPACE.to_owned());
    profile
}

/// One device takes a value from the Secret, another refers to a profile that does, and a third one does neither.
fn devices() -> Vec<Device> {
    let named = |name: &str| {
        let mut device = rig::device();
        device.metadata.name = Some(name.to_owned());
        device
    };
    let mut by_itself = named("by-itself");
    by_itself.spec.resources = vec![DesiredResource {
        path: "/3/0/14".to_owned(),
        value_from: Some(source()),
        ..DesiredResource::default()
    }];
    let mut by_profile = named("by-profile");
    by_profile.spec.profile_refs = vec![ObjectReference {
        name: "base".to_owned(),
    }];
    vec![by_itself, by_profile, named("not-at-all")]
}

struct Seen {
    devices: Arc<Triggers<Device>>,
    profiles: Arc<Triggers<DeviceProfile>>,
}

/// Watches Secrets for as long as the test goes on.
async fn watched<F: Future<Output = ()>>(test: impl FnOnce(Seen, ApiServer) -> F) {
    let (client, api_server) = rig::api_server();
    let seen = Seen {
        devices: Arc::default(),
        profiles: Arc::default(),
    };
    let of_devices = References::new(Arc::clone(&seen.devices), crate::device::named);
    let of_profiles = References::new(Arc::clone(&seen.profiles), crate::profile::named);
    let known = Known::default();
    for device in devices() {
        of_devices.take_in(&known.take_in(&WatchEvent::Apply(device)));
    }
    of_profiles.take_in(&Known::default().take_in(&WatchEvent::Apply(profile())));
    let concerned = Concerned {
        devices: Arc::new(of_devices),
        profiles: Arc::new(of_profiles),
    };
    let watching = Readiness::new().condition("secrets-watch");
    let drain = Tasks::new().drain(Stage::Intake);
    tokio::select! {
        () = watch(client, None, concerned, watching, drain) => panic!("it ended"),
        () = test(seen, api_server) => {}
    }
}

async fn until_told(seen: &Seen) -> (Vec<String>, Vec<String>) {
    loop {
        let told = (seen.devices.taken(), seen.profiles.taken());
        if !told.0.is_empty() {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_takes_a_value_from_a_secret_is_looked_at_when_it_changes() {
    watched(|seen, mut api_server| async move {
        let listed = list(&[metadata("k", 5), metadata("other", 6)]);
        let (_, asked) = api_server.answer(Some(&listed)).await;
        assert!(asked.starts_with("/api/v1/secrets?"), "{asked}");
        let all = ["by-itself", "by-profile"].map(str::to_owned).to_vec();
        let base = vec!["base".to_owned()];
        assert_eq!(until_told(&seen).await, (all.clone(), base.clone()));
        let changed = json!({"type": "MODIFIED", "object": metadata("k", 8)});
        let (_, asked) = api_server.answer(Some(&changed)).await;
        assert!(asked.contains("watch=true"), "{asked}");
        assert_eq!(until_told(&seen).await, (all, base));
    })
    .await;
}

#[test]
fn the_token_of_a_service_account_is_given_to_nobody() {
    let secret: KubernetesSecret = serde_json::from_value(json!({
        "metadata": {"name": "token", "resourceVersion": "1"},
        "type": SERVICE_ACCOUNT_TOKEN, "data": {"token": "aHVudGVyMg=="},
    }))
    .unwrap();
    assert!(matches!(held(secret), Secret::Withheld { .. }));
}
