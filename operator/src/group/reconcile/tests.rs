#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use super::*;
use crate::controller::reconcile;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::group::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-group.yaml");

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    group: &DeviceGroup,
) -> DeviceGroup {
    let reconciled = reconcile(Arc::new(group.clone()), Arc::clone(context));
    let (outcome, (patched, ..)) = tokio::join!(reconciled, api_server.answer_patch(group));
    outcome.unwrap();
    patched
}

#[tokio::test]
async fn a_group_is_put_once_and_counted_again_and_again() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(3);
    let group: DeviceGroup = stored(EXAMPLE, "uid-1");
    let group = written(&context, &mut api_server, &group).await;
    assert_eq!(fake.calls(), ["put acme/berlin-old"]);
    assert_eq!(condition(&group, "Ready"), "True/Evaluated");
    assert_eq!(group.status.as_ref().unwrap().devices, Some(3));

    // The same count is not written; a request would fail because nobody answers it.
    let again = reconcile(Arc::new(group.clone()), Arc::clone(&context));
    again.await.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 1);
    fake.have_devices(4);
    let group = written(&context, &mut api_server, &group).await;
    assert_eq!(group.status.unwrap().devices, Some(4));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_group_of_people_is_left_alone() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.put("berlin-old", "to be updated");
    let group: DeviceGroup = stored(EXAMPLE, "uid-1");
    let group = written(&context, &mut api_server, &group).await;
    assert_eq!(condition(&group, "Accepted"), "False/IdentityConflict");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_state_tier_refuses_stands_in_the_status() {
    let (context, mut api_server, _fake) = fake::start().await;
    let mut group: DeviceGroup = stored(EXAMPLE, "uid-1");
    group.spec.filter = Some("endpoint = refused".to_owned());
    let group = written(&context, &mut api_server, &group).await;
    assert_eq!(condition(&group, "Accepted"), "False/InvalidValue");
}
