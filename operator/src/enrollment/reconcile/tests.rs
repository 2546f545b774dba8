#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use super::*;
use crate::controller::reconcile;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::enrollment::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/enrollment-policy.yaml");

/// Without a security profile.
fn example() -> EnrollmentPolicy {
    let mut policy: EnrollmentPolicy = stored(EXAMPLE, "uid-1");
    policy.spec.security_profile_ref = None;
    policy
}

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    policy: &EnrollmentPolicy,
) -> EnrollmentPolicy {
    let reconciled = reconcile(Arc::new(policy.clone()), Arc::clone(context));
    let (outcome, (patched, ..)) = tokio::join!(reconciled, api_server.answer_patch(policy));
    outcome.unwrap();
    patched
}

#[tokio::test]
async fn a_policy_is_put_once_and_its_devices_are_told() {
    let (context, mut api_server, fake) = fake::start().await;
    let policy = written(&context, &mut api_server, &example()).await;
    assert_eq!(fake.calls(), ["put acme/meters"]);
    assert_eq!(condition(&policy, "Ready"), "True/InForce");
    assert_eq!(policy.status.as_ref().unwrap().admitted, Some(0));

    // The same count is not written; a request would fail because nobody answers it.
    let again = reconcile(Arc::new(policy.clone()), Arc::clone(&context));
    again.await.unwrap();
    assert_eq!(context.shared.metrics.status_writes.get(), 1);
    fake.have_registered("meters", 2_000_000);
    let policy = written(&context, &mut api_server, &policy).await;
    assert_eq!(policy.status.as_ref().unwrap().admitted, Some(2_000_000));
    assert_eq!(condition(&policy, "Ready"), "False/QuotaExceeded");
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn a_security_profile_that_is_missing_is_told() {
    let (context, mut api_server, fake) = fake::start().await;
    let policy: EnrollmentPolicy = stored(EXAMPLE, "uid-1");
    let reconciled = reconcile(Arc::new(policy.clone()), Arc::clone(&context));
    let answers = async {
        api_server.answer(None::<&SecurityProfile>).await;
        api_server.answer_patch(&policy).await
    };
    let (outcome, (patched, ..)) = tokio::join!(reconciled, answers);
    outcome.unwrap();
    assert_eq!(condition(&patched, "Accepted"), "False/ProfileNotFound");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_policy_of_people_is_left_alone() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.put("meters", "for the lab");
    let policy = written(&context, &mut api_server, &example()).await;
    assert_eq!(condition(&policy, "Accepted"), "False/IdentityConflict");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pattern_that_the_state_tier_refuses_stands_in_the_status() {
    let (context, mut api_server, _fake) = fake::start().await;
    let mut policy = example();
    policy.spec.criteria.endpoint_name_pattern = Some("^meter-(1$".to_owned());
    let policy = written(&context, &mut api_server, &policy).await;
    assert_eq!(condition(&policy, "Accepted"), "False/InvalidPattern");
    assert_eq!(condition(&policy, "Ready"), "False/NotAccepted");
}
