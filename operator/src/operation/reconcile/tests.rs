#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::controller::{reconcile, take_in};
use crate::operation::{fake, withdraw};

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-operation.yaml");

fn example() -> DeviceOperation {
    let mut operation: DeviceOperation = stored(EXAMPLE, "uid-1");
    operation.metadata.creation_timestamp = Some(now());
    operation
}

fn read(path: &str) -> DeviceOperation {
    let mut operation = example();
    operation.spec.action =
        serde_yaml_ng::from_str(&format!("{{type: Read, path: {path}}}")).unwrap();
    operation
}

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    operation: &DeviceOperation,
) -> DeviceOperation {
    let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(context));
    let (outcome, (patched, ..)) = tokio::join!(reconciled, api_server.answer_patch(operation));
    outcome.unwrap();
    patched
}

/// Reconciles, and answers nothing.
async fn looked_at(context: &Arc<Context>, operation: &DeviceOperation) -> Action {
    let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(context));
    reconciled.await.unwrap()
}

#[tokio::test]
async fn an_operation_is_asked_once_and_then_followed() {
    let (context, mut api_server, fake) = fake::start().await;
    // The start is written before anything is asked.
    let operation = written(&context, &mut api_server, &example()).await;
    assert_eq!(fake.calls(), Vec::<String>::new());
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(fake.calls(), ["execute acme//3/0/4"]);
    let status = operation.status.as_ref().unwrap();
    assert_eq!(status.ledger.as_ref().unwrap().id, "1-1");
    assert_eq!(condition(&operation, "Complete"), "False/AwaitingWakeup");
    // It sleeps on: nothing is asked for, and nothing written.
    looked_at(&context, &operation).await;
    assert_eq!(context.shared.metrics.status_writes.get(), 2);

    fake.wake_up();
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(condition(&operation, "Succeeded"), "True/Complete");
    looked_at(&context, &operation).await;
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(context.shared.metrics.status_writes.get(), 3);
}

#[tokio::test]
async fn a_read_is_asked_again_until_the_device_listens() {
    let (context, mut api_server, fake) = fake::start().await;
    let operation = written(&context, &mut api_server, &read("/3/0/0")).await;
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(condition(&operation, "Complete"), "False/AwaitingWakeup");
    looked_at(&context, &operation).await;
    assert_eq!(context.shared.metrics.status_writes.get(), 2);
    fake.wake_up();
    let operation = written(&context, &mut api_server, &operation).await;
    let results = &operation.status.as_ref().unwrap().results;
    assert_eq!(results[0].value.as_deref(), Some("Acme"));
}

#[tokio::test]
async fn what_a_device_refuses_has_failed() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.wake_up();
    let operation = written(&context, &mut api_server, &read("/3/0/99")).await;
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(condition(&operation, "Failed"), "True/DevicesFailed");
    let results = &operation.status.as_ref().unwrap().results;
    assert_eq!(results[0].coap_code, "4.04");
}

#[tokio::test]
async fn now_or_not_at_all() {
    let (context, mut api_server, _fake) = fake::start().await;
    let mut operation = read("/3/0/0");
    operation.spec.dispatch_policy = crd::device_operation::DispatchPolicy::Immediate;
    let operation = written(&context, &mut api_server, &operation).await;
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(condition(&operation, "Failed"), "True/DevicesFailed");
}

#[tokio::test]
async fn an_object_that_is_through_goes() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.wake_up();
    let mut operation = read("/3/0/0");
    operation.spec.ttl_seconds_after_finished = 0;
    let operation = written(&context, &mut api_server, &operation).await;
    let operation = written(&context, &mut api_server, &operation).await;
    let reconciled = looked_at(&context, &operation);
    let (_, (method, uri)) = tokio::join!(reconciled, api_server.answer(Some(&operation)));
    assert_eq!(method, http::Method::DELETE);
    assert!(
        uri.contains("/namespaces/acme/deviceoperations/reboot"),
        "{uri}"
    );
}

#[tokio::test]
async fn what_a_deleted_object_has_asked_for_is_cancelled() {
    let (context, mut api_server, fake) = fake::start().await;
    let operation = written(&context, &mut api_server, &example()).await;
    let operation = written(&context, &mut api_server, &operation).await;
    take_in(&*context, &Event::Apply(operation.clone()));
    take_in(&*context, &Event::Delete(operation));
    let cancelled = async {
        for _ in 0..1_000 {
            if fake.calls().len() > 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing was cancelled");
    };
    tokio::select! {
        () = withdraw::run(&context) => {}
        () = cancelled => {}
    }
    assert_eq!(fake.calls()[1], "cancel acme/1-1");
}

#[tokio::test]
async fn what_was_sent_just_before_it_was_cancelled_is_not_called_expired() {
    let (context, mut api_server, fake) = fake::start().await;
    let operation = written(&context, &mut api_server, &example()).await;
    let mut operation = written(&context, &mut api_server, &operation).await;
    // Its time is over, and the device wakes up.
    operation.spec.active_deadline_seconds = 0;
    fake.be_faster();
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(fake.calls()[1], "cancel acme/1-1");
    assert_eq!(condition(&operation, "Succeeded"), "True/Complete");
}

#[tokio::test]
async fn a_device_object_names_the_device() {
    let (context, mut api_server, _fake) = fake::start().await;
    let mut operation = read("/3/0/0");
    operation.spec.endpoint_name = None;
    operation.spec.device_ref = Some(crd::reference::ObjectReference {
        name: "meter-1".to_owned(),
    });
    let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(&context));
    let answers = async {
        api_server.answer(None::<&Device>).await;
        api_server.answer_patch(&operation).await
    };
    let (_, (operation, ..)) = tokio::join!(reconciled, answers);
    assert_eq!(condition(&operation, "Accepted"), "False/DeviceNotFound");
}
