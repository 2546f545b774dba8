#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

mod fake;
mod named;

use std::sync::Arc;
use std::time::Duration;

use crd::{DeletionPolicy, DesiredResource, DeviceSpec, DeviceStatus};
use kube::runtime::controller::Action;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde_json::json;

use self::fake::FakeStateTier;
use super::*;
use crate::announcer::Announcer;
use crate::brake::Brake;
use crate::controller::rig::{self, ApiServer};
use crate::controller::{Named, Shared, reconcile, retry_later, take_in};
use crate::feed::Feed;
use crate::state_tier::CallError;

fn device(value: &str) -> Device {
    let mut device = Device::new(
        "meter-1",
        DeviceSpec {
            endpoint_name: "urn:imei:1".to_owned(),
            resources: vec![DesiredResource {
                path: "/3/0/14".to_owned(),
                value: Some(value.to_owned()),
                ..DesiredResource::default()
            }],
            ..DeviceSpec::default()
        },
    );
    device.metadata.namespace = Some("acme".to_owned());
    device.metadata.uid = Some("uid-1".to_owned());
    device.metadata.generation = Some(1);
    device.metadata.resource_version = Some("1".to_owned());
    device
}

/// A context of devices that refer to no profiles.
fn of(shared: Shared<Device>) -> Context {
    let (profiles, _) = reflector::store();
    Context::new(shared, Feed::default(), profiles)
}

/// A context between a scripted API server and a state tier in memory.
async fn context() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let (state_tier, fake) = fake::start().await;
    let (shared, api_server) = rig::shared(state_tier);
    (Arc::new(of(shared)), api_server, fake)
}

async fn reconciled(context: &Arc<Context>, device: &Device) -> Result<Action, ReconcileError> {
    reconcile(Arc::new(device.clone()), Arc::clone(context)).await
}

#[tokio::test]
async fn a_new_object_is_sent_and_its_status_written_once() {
    let (context, mut api_server, fake) = context().await;
    let device = device("+02:00");
    let (outcome, (_, uri, patch)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(
        fake.desired(),
        (1, vec![("/3/0/14".to_owned(), "+02:00".to_owned())])
    );
    assert!(uri.starts_with("/apis/drover.dev/v1alpha1/namespaces/acme/devices/meter-1/status?"));
    assert!(uri.contains("force=true") && uri.contains("fieldManager=drover-operator%2Fdevice"));
    assert_eq!(patch["status"]["observedGeneration"], 1);
    assert_eq!(patch["status"]["drift"]["pending"], 1);

    // The watch has not shown the written status yet: nothing is written a second time, and a
    // request would fail because nobody answers it.
    drop(api_server);
    reconciled(&context, &device).await.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 1);
    assert_eq!(context.shared.metrics.desired_sets.get(), 1);
}

#[tokio::test]
async fn what_a_status_says_anew_is_told_once() {
    let (state_tier, _fake) = fake::start().await;
    let (mut shared, mut api_server) = rig::shared(state_tier);
    let (announcer, mut told) = Announcer::new(shared.metrics.clone());
    shared.announcer = announcer;
    let context = Arc::new(of(shared));
    let mut device = device("+02:00");
    device.spec.resources[0].path = "/3/0/999".to_owned();
    let (outcome, (written, ..)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    let said = told.try_recv().unwrap().to_string();
    assert!(
        said.starts_with("Device meter-1: Warning Accept UnknownObjectModel: "),
        "{said}"
    );
    assert!(told.try_recv().is_err());
    // Nothing else is said of the next generation than of this one.
    device = written;
    device.metadata.generation = Some(2);
    let (outcome, _) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_recreated_object_goes_above_the_stored_generation() {
    let (context, mut api_server, fake) = context().await;
    fake.store(9, "/3/0/14", "old");
    let device = device("new");
    let (outcome, _) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(
        fake.desired(),
        (10, vec![("/3/0/14".to_owned(), "new".to_owned())])
    );
}

#[tokio::test]
async fn a_set_that_was_overtaken_is_planned_again_later() {
    let (context, _api_server, fake) = context().await;
    fake.overtake_next_set();
    let device = device("new");
    let error = reconciled(&context, &device).await.unwrap_err();
    assert!(
        matches!(error, ReconcileError::StateTier(CallError::Stale)),
        "{error}"
    );
    let retry = retry_later(Arc::new(device), &error, Arc::clone(&context));
    assert_ne!(retry, Action::await_change());
}

#[tokio::test]
async fn an_object_that_is_gone_needs_no_status() {
    let (context, mut api_server, _fake) = context().await;
    let device = device("+02:00");
    let (outcome, _) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer(None::<&Device>)
    );
    outcome.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 0);
}

#[tokio::test]
async fn a_deleted_object_withdraws_what_it_has_put_there() {
    let (context, _api_server, fake) = context().await;
    fake.store(3, "/3/0/14", "x");
    let mut device = device("x");
    device.status = Some(DeviceStatus {
        desired_generation: Some(3),
        ..DeviceStatus::default()
    });
    take_in(&*context, &Event::Apply(device.clone()));
    take_in(&*context, &Event::Delete(device));
    let withdrawn = async {
        tokio::time::timeout(Duration::from_secs(10), fake.until_withdrawn())
            .await
            .unwrap();
    };
    tokio::select! {
        () = crate::device::release::run(&context) => {}
        () = withdrawn => {}
    }
    assert_eq!(fake.desired(), (0, vec![]));
}

/// Held by its own annotation.
fn paused(mut device: Device) -> Device {
    let annotation = (crd::PAUSED.to_owned(), "true".to_owned());
    device.metadata.annotations = Some([annotation].into());
    device
}

#[tokio::test]
async fn an_object_that_is_held_changes_nothing_until_it_is_not() {
    let (context, mut api_server, fake) = context().await;
    let mut device = paused(device("+02:00"));
    let (outcome, (held, ..)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(rig::condition(&held, "Paused"), "True/PausedByAnnotation");
    assert_eq!(rig::condition(&held, "Accepted"), "");
    assert_eq!(fake.desired().0, 0);
    // Nothing more is written: that would fail, as nobody answers it.
    reconciled(&context, &held).await.unwrap();

    device = held;
    device.metadata.annotations = None;
    let (outcome, (goes_on, ..)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(rig::condition(&goes_on, "Paused"), "False/NotPaused");
    assert_eq!(fake.desired().0, 1);
}

#[tokio::test]
async fn a_deletion_waits_while_the_namespace_is_held() {
    let (state_tier, fake) = fake::start().await;
    let (mut shared, mut api_server) = rig::shared(state_tier);
    let (brake, mut namespaces) = Brake::new();
    shared.brake = brake;
    let context = Arc::new(of(shared));
    let mut device = device("+02:00");
    device.spec.deletion_policy = DeletionPolicy::Deregister;
    device.metadata.finalizers = Some(vec![Device::FINALIZER.to_owned()]);
    device.metadata.deletion_timestamp = Some(now());
    let accepted = json!({"conditions": [{
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    device.status = Some(serde_json::from_value(accepted).unwrap());
    // What is held has to be known first.
    let known = async {
        tokio::task::yield_now().await;
        namespaces.hold(&["acme"]);
        api_server.answer_patch(&device).await
    };
    let (outcome, (held, ..)) = tokio::join!(reconciled(&context, &device), known);
    outcome.unwrap();
    assert_eq!(rig::condition(&held, "Paused"), "True/PausedByNamespace");
    assert_eq!(fake.calls(), [""; 0]);

    namespaces.hold(&["other"]);
    let (outcome, (.., patch)) =
        tokio::join!(reconciled(&context, &held), api_server.answer_patch(&held));
    outcome.unwrap();
    assert_eq!(fake.calls(), ["DeleteDevice acme/urn:imei:1"]);
    assert_eq!(patch["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn what_objects_of_a_held_namespace_have_left_stays() {
    let (state_tier, fake) = fake::start().await;
    let (mut shared, _api_server) = rig::shared(state_tier);
    let (brake, mut namespaces) = Brake::new();
    namespaces.hold(&["acme"]);
    shared.brake = brake;
    let context = of(shared);
    fake.store(3, "/3/0/14", "x");
    let mut device = device("x");
    device.status = Some(DeviceStatus {
        desired_generation: Some(3),
        ..DeviceStatus::default()
    });
    take_in(&context, &Event::Apply(device.clone()));
    take_in(&context, &Event::Delete(device));
    let goes_on = async {
        tokio::task::yield_now().await;
        assert_eq!(fake.desired().0, 3);
        namespaces.hold(&[]);
        tokio::time::timeout(Duration::from_secs(10), fake.until_withdrawn())
            .await
            .unwrap();
    };
    tokio::select! {
        biased;
        () = crate::device::release::run(&context) => {}
        () = goes_on => {}
    }
    assert_eq!(fake.desired(), (0, vec![]));
}

#[tokio::test]
async fn labels_of_the_object_are_claimed_then_set_in_its_namespace() {
    let (context, mut api_server, fake) = context().await;
    let mut device = device("+02:00");
    device.metadata.labels = Some([("site".to_owned(), "berlin".to_owned())].into());
    let (outcome, (claimed, _, patch)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    // What is about to be set is said before: a deletion would not find it otherwise.
    assert_eq!(patch["status"]["labels"][0], "site");
    assert_eq!(fake.calls(), [""; 0]);
    assert_eq!(fake.desired().0, 0);
    // The status says all of it already: a write of another one would fail because nobody answers it.
    drop(api_server);
    reconciled(&context, &claimed).await.unwrap();
    assert_eq!(
        fake.calls(),
        ["UpdateDevice acme/urn:imei:1 labels.site true"]
    );
}

#[tokio::test]
async fn an_object_is_held_before_its_device_may_be_forgotten() {
    let (context, mut api_server, fake) = context().await;
    let mut device = device("+02:00");
    device.spec.deletion_policy = DeletionPolicy::Deregister;
    device.metadata.finalizers = Some(vec!["example.com/theirs".to_owned()]);
    let (outcome, (_, uri, patch)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert!(uri.starts_with("/apis/drover.dev/v1alpha1/namespaces/acme/devices/meter-1?"));
    let finalizers = &patch["metadata"]["finalizers"];
    assert_eq!(
        *finalizers,
        json!(["example.com/theirs", Device::FINALIZER])
    );
    assert_eq!(patch["metadata"]["resourceVersion"], "1");

    // Deleted, it goes once the device is forgotten; what others hold it for is theirs.
    device.metadata.finalizers = serde_json::from_value(finalizers.clone()).unwrap();
    device.metadata.deletion_timestamp = Some(now());
    let accepted = json!({"conditions": [{
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    device.status = Some(serde_json::from_value(accepted).unwrap());
    let (outcome, (_, _, patch)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(fake.calls(), ["DeleteDevice acme/urn:imei:1"]);
    assert_eq!(
        patch["metadata"]["finalizers"],
        json!(["example.com/theirs"])
    );
}

#[tokio::test]
async fn an_object_that_was_never_in_force_forgets_nothing() {
    let (context, mut api_server, fake) = context().await;
    let mut device = device("+02:00");
    device.spec.deletion_policy = DeletionPolicy::Deregister;
    device.metadata.finalizers = Some(vec![Device::FINALIZER.to_owned()]);
    device.metadata.deletion_timestamp = Some(now());
    let (outcome, (_, _, patch)) = tokio::join!(
        reconciled(&context, &device),
        api_server.answer_patch(&device)
    );
    outcome.unwrap();
    assert_eq!(fake.calls(), [""; 0]);
    assert_eq!(patch["metadata"]["finalizers"], json!([]));
}
