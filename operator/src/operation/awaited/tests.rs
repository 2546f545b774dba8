#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::{self, stored};
use crate::controller::take_in;
use crate::operation::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-operation.yaml");
const DEVICE: &str = "meter-1";

/// An operation that was asked for, and perhaps taken by the state tier or ended.
fn operation(ledger: Option<&str>, completed: bool) -> DeviceOperation {
    let mut operation: DeviceOperation = stored(EXAMPLE, "uid-1");
    let mut status = serde_json::json!({"conditions": []});
    if let Some(id) = ledger {
        status["ledger"] = serde_json::json!({"id": id});
    }
    if completed {
        status["completionTime"] = "2026-12-01T00:00:00Z".into();
    }
    operation.status = Some(serde_json::from_value(status).unwrap());
    operation
}

fn acme() -> Namespace {
    Namespace::new(rig::NAMESPACE).unwrap()
}

fn event(endpoint: &str, kind: api::event::Kind) -> api::Event {
    api::Event {
        endpoint: endpoint.to_owned(),
        time: None,
        kind: Some(kind),
    }
}

fn finished(id: &str) -> api::event::Kind {
    api::event::Kind::OperationFinished(api::Operation {
        id: id.to_owned(),
        ..Default::default()
    })
}

fn updated() -> api::event::Kind {
    api::event::Kind::Updated(api::Device::default())
}

/// What the watch shows, and a reconciliation after it.
async fn waiting(operation: &DeviceOperation) -> Arc<Context> {
    let (context, _, _) = fake::start().await;
    take_in(&*context, &Event::Apply(operation.clone()));
    context.await_device(operation, &acme(), Some(DEVICE));
    context
}

#[tokio::test]
async fn an_operation_is_triggered_by_its_end() {
    let context = waiting(&operation(Some("1-7"), false)).await;
    let hear = |endpoint: &str, kind| context.hear(&acme(), &event(endpoint, kind));
    assert_eq!(hear(DEVICE, finished("1-6")), 0);
    assert_eq!(hear(DEVICE, updated()), 0);
    assert_eq!(hear("meter-2", finished("1-7")), 0);
    let elsewhere = Namespace::default();
    assert_eq!(context.hear(&elsewhere, &event(DEVICE, finished("1-7"))), 0);
    assert_eq!(hear(DEVICE, finished("1-7")), 1);
    assert_eq!(context.shared.triggers.taken(), ["reboot"]);
}

#[tokio::test]
async fn one_that_is_kept_nowhere_is_triggered_when_its_device_may_listen() {
    let context = waiting(&operation(None, false)).await;
    let hear = |kind| context.hear(&acme(), &event(DEVICE, kind));
    assert_eq!(hear(updated()), 1);
    assert_eq!(hear(finished("1-6")), 1);
    let expired = api::event::Kind::Expired(api::event::Deregistered::default());
    assert_eq!(hear(expired), 0);
    // The state tier has taken it.
    take_in(&*context, &Event::Apply(operation(Some("1-7"), false)));
    assert_eq!(hear(finished("1-6")), 0);
    assert_eq!(hear(finished("1-7")), 1);
}

#[tokio::test]
async fn one_that_is_through_or_gone_waits_for_nothing() {
    let gone = Event::Delete(operation(None, false));
    let through = Event::Apply(operation(Some("1-7"), true));
    let mut held = operation(None, false);
    held.spec.suspend = true;
    for last in [gone, through, Event::Apply(held)] {
        let context = waiting(&operation(None, false)).await;
        take_in(&*context, &last);
        assert_eq!(context.hear(&acme(), &event(DEVICE, updated())), 0);
        context.with_awaited(|inner| assert!(inner.devices.is_empty() && inner.objects.is_empty()));
        // A reconciliation keeps nothing of it, even if it had begun before.
        let (Event::Apply(now) | Event::Delete(now)) = last else {
            unreachable!("no list")
        };
        context.await_device(&now, &acme(), Some(DEVICE));
        context.with_awaited(|inner| assert!(inner.objects.is_empty()));
    }
}

#[tokio::test]
async fn while_nothing_is_told_it_is_looked_at_more_often() {
    let context = waiting(&operation(Some("1-7"), false)).await;
    let settings = context.shared.settings;
    let hour = Duration::from_secs(3_600);
    assert_eq!(context.until_told(&acme(), hour), settings.poll);
    context.lose_sight(&acme());
    assert_eq!(context.shared.triggers.taken(), ["reboot"]);
}
