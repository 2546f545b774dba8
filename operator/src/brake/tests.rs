use std::future::Future;

use node_runtime::{Readiness, Stage, Tasks};
use serde_json::{Value, json};

use super::*;
use crate::controller::rig::{self, ApiServer, Calls, device};

fn namespace(name: &str, version: u32, paused: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": name, "resourceVersion": version.to_string(), "annotations": {"drover.dev/paused": paused},
        },
    })
}

fn list(items: &[Value]) -> Value {
    json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "7"}, "items": items,
    })
}

/// Watches namespaces for as long as the test goes on.
async fn watched<F: Future<Output = ()>>(test: impl FnOnce(Brake, ApiServer) -> F) {
    let (client, api_server) = rig::api_server();
    let (brake, namespaces) = Brake::new();
    let watching = Readiness::new().condition("namespaces-watch");
    let drain = Tasks::new().drain(Stage::Intake);
    tokio::select! {
        () = namespaces.watch(client, None, watching, drain) => panic!("it ended"),
        () = test(brake, api_server) => {}
    }
}

#[tokio::test]
async fn a_namespace_holds_until_the_annotation_is_gone() {
    watched(|brake, mut api_server| async move {
        let listed = list(&[namespace("acme", 5, "true"), namespace("other", 6, "false")]);
        let (_, asked) = api_server.answer(Some(&listed)).await;
        assert!(asked.starts_with("/api/v1/namespaces?"), "{asked}");
        brake.until_known().await;
        assert!(brake.holds("acme") && !brake.holds("other"));

        let told = Calls::default();
        let changes = async {
            let gone = json!({"type": "MODIFIED", "object": namespace("acme", 8, "")});
            let (_, asked) = api_server.answer(Some(&gone)).await;
            assert!(asked.contains("watch=true"), "{asked}");
            brake.until_changed().await;
        };
        tokio::select! {
            biased;
            () = brake.follow(|namespace| told.add(namespace.to_owned())) => {}
            () = changes => {}
        }
        assert!(!brake.holds("acme"));
        assert_eq!(told.all(), ["acme"]);
    })
    .await;
}

#[tokio::test]
async fn who_may_not_see_namespaces_goes_on_with_objects() {
    watched(|brake, mut api_server| async move {
        api_server.echo(Some((403, "Forbidden", ""))).await;
        brake.until_known().await;
        assert!(!brake.holds("acme"));
        let mut device = device();
        assert_eq!(brake.pause(&device), None);
        let annotation = (crd::PAUSED.to_owned(), "true".to_owned());
        device.metadata.annotations = Some([annotation].into());
        assert_eq!(brake.pause(&device), Some(Pause::Object));
    })
    .await;
}

#[test]
fn what_holds_a_namespace_is_told_from_what_holds_an_object() {
    let (brake, mut namespaces) = Brake::new();
    namespaces.hold(&[rig::NAMESPACE]);
    let mut device = device();
    assert_eq!(brake.pause(&device), Some(Pause::Namespace));
    device.metadata.namespace = Some("other".to_owned());
    assert_eq!(brake.pause(&device), None);
}
