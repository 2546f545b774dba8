#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use crd::reference::ObjectReference;
use proto::drover::v1::ProfileCounts;

use super::*;
use crate::controller::reconcile;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::profile::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-profile.yaml");

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    profile: &DeviceProfile,
) -> DeviceProfile {
    let reconciled = reconcile(Arc::new(profile.clone()), Arc::clone(context));
    let (outcome, (patched, ..)) = tokio::join!(reconciled, api_server.answer_patch(profile));
    outcome.unwrap();
    patched
}

#[tokio::test]
async fn a_profile_is_put_once_and_then_followed() {
    let (context, mut api_server, fake) = fake::start().await;
    let profile: DeviceProfile = stored(EXAMPLE, "uid-1");
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(fake.calls(), ["put acme/m200"]);
    assert_eq!(condition(&profile, "Ready"), "True/InSync");

    // Nothing has changed: nothing is asked for, and nothing written.
    let again = reconcile(Arc::new(profile.clone()), Arc::clone(&context));
    again.await.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 1);

    let counts = ProfileCounts {
        matched: 2,
        in_sync: 1,
        rejected: 1,
        ..Default::default()
    };
    fake.have_counts("m200", counts);
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(condition(&profile, "Degraded"), "True/WriteRejected");
    let status = profile.status.as_ref().unwrap();
    assert_eq!(status.failure_samples[0].endpoint_name, "meter-7");
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_group_that_appears_lets_it_begin() {
    let (context, mut api_server, fake) = fake::start().await;
    let mut profile: DeviceProfile = stored(EXAMPLE, "uid-1");
    profile.spec.selector = None;
    profile.spec.group_ref = Some(ObjectReference {
        name: "berlin-old".to_owned(),
    });
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(condition(&profile, "Accepted"), "False/GroupNotFound");
    fake.have_group("berlin-old");
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(condition(&profile, "Accepted"), "True/Accepted");
}

#[tokio::test]
async fn a_profile_that_selects_nobody_any_more_is_deleted() {
    let (context, mut api_server, fake) = fake::start().await;
    let mut profile: DeviceProfile = stored(EXAMPLE, "uid-1");
    profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(fake.names(), ["m200"]);
    profile.spec.selector = None;
    profile.metadata.generation = Some(2);
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(condition(&profile, "Ready"), "True/Accepted");
    assert_eq!(fake.calls(), ["put acme/m200", "delete acme/m200"]);
    assert_eq!(fake.names(), [""; 0]);
}

#[tokio::test]
async fn what_the_state_tier_refuses_stands_in_the_status() {
    let (context, mut api_server, _fake) = fake::start().await;
    let mut profile: DeviceProfile = stored(EXAMPLE, "uid-1");
    profile.spec.priority = 13;
    let profile = written(&context, &mut api_server, &profile).await;
    assert_eq!(condition(&profile, "Accepted"), "False/InvalidValue");
}
