#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::*;
use crate::bootstrap::fake;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::controller::{reconcile, take_in};

const EXAMPLE: &str = include_str!("../../../../examples/resources/bootstrap-profile.yaml");
const SECURITY: &str = include_str!("../../../../examples/resources/security-profile-psk.yaml");

fn example(uid: u8) -> BootstrapProfile {
    stored(
        EXAMPLE,
        &format!("0f4a2c6e-7b1d-4c8e-9a53-1d2e3f4051{uid:02}"),
    )
}

/// Reconciles, and answers for the security profile and the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    profile: &BootstrapProfile,
    security: Option<&SecurityProfile>,
) -> BootstrapProfile {
    let reconciled = reconcile(Arc::new(profile.clone()), Arc::clone(context));
    let answers = async {
        api_server.answer(security).await;
        api_server.answer_patch(profile).await
    };
    let (outcome, (patched, ..)) = tokio::join!(reconciled, answers);
    outcome.unwrap();
    patched
}

#[tokio::test]
async fn a_profile_is_put_once() {
    let (context, mut api_server, fake) = fake::start().await;
    let profile = written(&context, &mut api_server, &example(1), None).await;
    assert_eq!(condition(&profile, "Accepted"), "False/ProfileNotFound");
    let security: SecurityProfile = stored(SECURITY, "uid-9");
    let profile = written(&context, &mut api_server, &profile, Some(&security)).await;
    assert_eq!(condition(&profile, "Ready"), "True/InForce");
    assert_eq!(fake.calls(), ["put acme/meters"]);

    // Nothing has changed: nothing is asked for, and nothing written.
    let again = reconcile(Arc::new(profile), Arc::clone(&context));
    let (outcome, _) = tokio::join!(again, api_server.answer(Some(&security)));
    outcome.unwrap();
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(context.shared.metrics.status_writes.get(), 2);
}

#[tokio::test]
async fn the_one_whose_name_comes_first_counts() {
    let (context, mut api_server, fake) = fake::start().await;
    let security: SecurityProfile = stored(SECURITY, "uid-9");
    let later = written(&context, &mut api_server, &example(1), Some(&security)).await;
    let mut first = example(2);
    first.metadata.name = Some("all".to_owned());
    let first = written(&context, &mut api_server, &first, Some(&security)).await;
    take_in(&*context, &Event::Apply(later.clone()));
    take_in(&*context, &Event::Apply(first));
    let later = written(&context, &mut api_server, &later, Some(&security)).await;
    assert_eq!(condition(&later, "Accepted"), "False/IdentityConflict");
    assert_eq!(
        fake.calls(),
        ["put acme/meters", "put acme/all", "delete acme/meters"]
    );
}
